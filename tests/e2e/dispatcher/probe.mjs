// Asks the dispatcher many questions in one go: what it is given as a table it imports, and what it calls it tells.
import dispatcher from "./dispatcher.mjs";

export default {
  async fetch(request) {
    const { values, urls } = await request.json();
    const ROUTES = { get: async (key) => (Object.hasOwn(values, key) ? JSON.parse(values[key]) : null) };
    const results = [];
    for (const url of urls) {
      let called = null;
      const namespace = (binding) => ({
        get: (script, args, options) => ({
          fetch: async (seen) => {
            called = { script, binding, options, path: new URL(seen.url).pathname };
            return new Response("answered");
          },
        }),
      });
      const env = { ROUTES, DISPATCH: namespace("DISPATCH"), DISPATCH_GUARD: namespace("DISPATCH_GUARD") };
      const response = await dispatcher.fetch(new Request(url), env);
      results.push({ status: response.status, called });
    }
    return Response.json(results);
  },
};
