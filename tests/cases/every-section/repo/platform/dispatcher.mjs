import "./lib/x.mjs"; import "node:buffer";
export default {fetch(){return new Response("x")}};
