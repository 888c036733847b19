import "./lib/a.mjs";
export default {};
