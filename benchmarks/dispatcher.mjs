// Times the dispatcher against a bare get().fetch() inside one isolate: no network, so that what differs is its work.
// CASES and COUNT come from the request; the namespace answers at once with the same response for all.
import dispatcher from "./dispatcher.mjs";

const namespace = { get: () => ({ fetch: async () => new Response(null) }) };

const bare = { fetch: (request, env) => env.DISPATCH.get("shop-1", {}, {}).fetch(request) };

export default {
  async fetch(request, env) {
    const { url, count } = await request.json();
    const bindings = { DISPATCH: namespace, DISPATCH_GUARD: namespace, ROUTES: env.ROUTES };
    const timed = async (worker) => {
      const started = performance.now();
      for (let i = 0; i < count; i++) await worker.fetch(new Request(url, { headers: { accept: "*/*" } }), bindings);
      return ((performance.now() - started) * 1000) / count;
    };
    await timed(bare);
    await timed(dispatcher);
    return Response.json({ bare: await timed(bare), dispatcher: await timed(dispatcher) });
  },
};
