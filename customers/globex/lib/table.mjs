import { euros } from "./money.mjs";

export function table(prices) {
  const width = Math.max(...Object.keys(prices).map((name) => name.length));
  return Object.entries(prices)
    .map(([name, price]) => `${name.padEnd(width)}  ${euros(price).padStart(12)}`)
    .join("\n");
}
