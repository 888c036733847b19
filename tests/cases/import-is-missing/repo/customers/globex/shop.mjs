// import "./not-this.mjs" is a comment
import { cart } from "./lib/carts.mjs";
export default { fetch: () => cart() };
