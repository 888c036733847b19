// Runs the probe with a table that comes with the request, in an isolate of its own.
export default {
  async fetch(request, env) {
    const { table, ...questions } = await request.json();
    const modules = {
      "probe.mjs": { js: env.PROBE },
      "dispatcher.mjs": { js: env.DISPATCHER },
      "routing_table.mjs": { js: table },
    };
    const worker = env.LOADER.get(crypto.randomUUID(), () => ({
      compatibilityDate: "2026-10-01",
      mainModule: "probe.mjs",
      modules,
      globalOutbound: null,
    }));
    const init = { method: "POST", body: JSON.stringify(questions) };
    return worker.getEntrypoint().fetch(new Request("http://probe/", init));
  },
};
