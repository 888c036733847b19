import { words } from "./lib/words.mjs";
export default { fetch: () => new Response(words) };
