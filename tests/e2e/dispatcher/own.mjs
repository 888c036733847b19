// A dispatcher that a platform wrote itself, over the same table: exact hostnames only, and no errors caught.
import table from "./routing_table.mjs";

export default {
  fetch(request, env) {
    const script = table.hosts[new URL(request.url).hostname];
    if (!script) return new Response("own: no such host", { status: 404 });
    const [, place] = table.scripts[script];
    const { limits, outbound = "" } = table.terms[place];
    return env[table.bindings[outbound]].get(script, {}, { limits }).fetch(request);
  },
};
