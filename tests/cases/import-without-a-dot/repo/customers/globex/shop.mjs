import "cart.mjs";
export default {};
