// Runs the probe with rules that come with the request, in an isolate of its own.
export default {
  async fetch(request, env) {
    const { rules, questions } = await request.json();
    const modules = {
      "probe.mjs": { js: env.PROBE },
      "egress.mjs": { js: env.EGRESS },
      "egress_rules.mjs": { js: rules },
    };
    const worker = env.LOADER.get(crypto.randomUUID(), () => ({
      compatibilityDate: "2026-10-01",
      mainModule: "probe.mjs",
      modules,
      globalOutbound: env.INTERNET,
    }));
    const init = { method: "POST", body: JSON.stringify(questions) };
    return worker.getEntrypoint().fetch(new Request("http://probe/", init));
  },
};
