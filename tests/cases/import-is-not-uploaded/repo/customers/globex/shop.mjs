export { default } from "./cart.mjs";
