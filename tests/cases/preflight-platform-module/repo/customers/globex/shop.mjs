import { kit } from "./kit.mjs";
export default { fetch: () => new Response(kit) };
