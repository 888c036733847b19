// Every host there is. /to redirects to an address, /loop to itself, /break fails; all else tells what arrived.
export default {
  async fetch(request) {
    const url = new URL(request.url);
    if (request.headers.get("upgrade") === "websocket") {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.close(1000, "done");
      return new Response(null, { status: 101, webSocket: client });
    }
    if (url.pathname === "/break") throw new Error("connection lost");
    if (url.pathname === "/loop") return new Response(null, { status: 302, headers: { location: "/loop" } });
    if (url.pathname === "/to") {
      const status = Number(url.searchParams.get("status") ?? 302);
      return new Response(null, { status, headers: { location: url.searchParams.get("address") } });
    }
    const headers = Object.fromEntries(request.headers);
    return Response.json({ host: url.host, method: request.method, headers, body: await request.text() });
  },
};
