import { euros } from "./money.mjs";

export function total(prices) {
  return euros(Object.values(prices).reduce((sum, price) => sum + price, 0));
}
