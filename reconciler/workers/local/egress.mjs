// Requests that leave the platform: to declared hosts, to loopback, and anywhere else only where that is allowed. With
// EGRESS "none" nothing leaves at all. Closed ports of loopback are not for scripts: pages that write files answer there.

/** `env.HOSTS` lists the declared hosts; each has a service EGRESS_<n>, which keeps the request's own Host header. */
export async function leavePlatform(request, env, who) {
  const url = new URL(request.url);
  const declared = env.HOSTS.indexOf(url.host);
  try {
    if (declared >= 0) return await env[`EGRESS_${declared}`].fetch(request);
    if (isLoopback(url.hostname) && env.EGRESS !== "none" && !env.CLOSED_PORTS.includes(url.port || "80")) return await env.LOOPBACK.fetch(request);
    if (env.EGRESS === "allow" && !isLoopback(url.hostname)) return await env.INTERNET.fetch(request);
  } catch (error) {
    return new Response(`${who} asked for ${url.origin}, which cannot be reached: ${error.message}\n`, { status: 502 });
  }
  const body =
    `${who} asked for ${url.origin}, and the embedded platform lets no request out to the network.\n` +
    `Declare the host with a local address that stands in for it, or allow egress.\n`;
  return new Response(body, { status: 502, headers: { "x-reconciler-egress": "blocked" } });
}

/** A TCP connection, under the same rules; the host of a declared HTTP stand-in is no TCP address. */
export async function leaveByTcp(socket, env, connect) {
  const { localAddress } = await socket.opened;
  const host = localAddress.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  const port = localAddress.split(":").at(-1);
  const open = isLoopback(host) ? env.EGRESS !== "none" && !env.CLOSED_PORTS.includes(port) : env.EGRESS === "allow";
  if (!open) {
    throw new Error(`The embedded platform lets no connection out to ${localAddress}.`);
  }
  const network = isLoopback(host) ? env.LOOPBACK : env.INTERNET;
  const remote = connect(network, localAddress);
  await Promise.all([socket.readable.pipeTo(remote.writable), remote.readable.pipeTo(socket.writable)]);
}

function isLoopback(hostname) {
  return hostname === "localhost" || hostname === "[::1]" || hostname === "::1" || /^127(\.\d+){3}$/.test(hostname);
}
