import add from "./add.wasm";
export default { fetch: () => new Response(String(add)) };
