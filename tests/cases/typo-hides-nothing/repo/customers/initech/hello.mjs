import "./lib.mjs";
export default {};
