import "node:crypto"; export default { fetch: () => new Response("shop") };
