// All user Workers at once. The path says what they do; the script named "gone" is not in the namespace.
const thrown = (message) => new Response(null, { headers: { "stub-throw": message } });

const PATHS = {
  "/throw": (request, url) => thrown(url.searchParams.get("message")),
  "/stream": () => {
    const { readable, writable } = new TransformStream();
    const writer = writable.getWriter();
    (async () => {
      for (const word of ["one ", "two ", "three"]) {
        await writer.write(new TextEncoder().encode(word));
        await scheduler.wait(150);
      }
      await writer.close();
    })();
    return new Response(readable);
  },
  "/upload": (request) => new Response(request.body),
  "/socket": () => {
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.addEventListener("message", (event) => server.send(`echo ${event.data}`));
    return new Response(null, { status: 101, webSocket: client });
  },
  "/redirect": () => new Response(null, { status: 302, headers: { location: "/elsewhere" } }),
  "/head": () => new Response(null, { headers: { "content-length": "4711", "x-own": "yes" } }),
};

export default {
  async fetch(request) {
    const { "stub-call": call, ...headers } = Object.fromEntries(request.headers);
    const seen = JSON.parse(call);
    if (seen.name === "gone") return thrown("Worker not found.");
    const url = new URL(request.url);
    if (PATHS[url.pathname]) return PATHS[url.pathname](request, url);
    return Response.json({ ...seen, method: request.method, url: request.url, headers, body: await request.text() });
  },
};
