import "./lib/y.mjs"; import "./platform_module.mjs"; import "node:crypto"; import w from "./code.wasm";
export default {fetch(){return new Response("x")}};
