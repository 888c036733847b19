import { kit } from "./kit.mjs";

export default {
  async fetch(request, env) {
    const { pathname, href } = new URL(request.url);
    if (pathname === "/") return new Response(`${href} ${kit}`);
    if (pathname === "/echo") {
      const told = `${request.headers.get("x-of")}: ${await request.text()}`;
      return new Response(told, { status: 201, headers: { location: "/a" } });
    }
    if (pathname === "/stored") {
      await env.CACHE.put("a", "kept");
      return new Response(await env.CACHE.get("a"));
    }
    if (pathname === "/empty") return new Response(null);
    if (pathname === "/outside") return fetch("https://example.com/");
    if (pathname === "/here") return fetch("http://127.0.0.1/");
    if (pathname === "/throws") throw new TypeError("not \u001b[31mthat way");
    for (; pathname.startsWith("/spins"););
    return new Response("not here", { status: 404 });
  },
};
