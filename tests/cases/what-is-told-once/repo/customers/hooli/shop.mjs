import { randomUUID } from "node:crypto";
import "./platform_module.mjs";
export default { fetch: () => new Response(randomUUID()) };
