import { kit, kat } from "./kit.mjs";
export default { fetch: () => new Response(kit + kat) };
