// Which ordinary Worker answers an address, by the account's routes and custom domains. Pure.

/** The account's addresses as the others here take them: each pattern is read once, the most specific one comes first. */
export function readAddresses({ routes, hosts, ...rest }) {
  const read = routes.map((route) => ({ ...route, ...split(route.pattern) }));
  return { ...rest, hosts: new Set(hosts), routes: read.sort((one, other) => specificity(other) - specificity(one)) };
}

/** The Worker's name; null when a route switches Workers off there; undefined when nothing answers. */
export function workerFor(url, { routes, domains, workersDev }) {
  const host = url.hostname;
  const route = routes.find((one) => matches(one, url));
  if (route) return route.script ?? domains[host] ?? null;
  return domains[host] ?? workersDev[host];
}

/** `*` stands at the start of the host and at the end of the path only, as in Cloudflare's routes. */
function matches({ scheme, host, path }, url) {
  if (scheme && `${scheme}:` !== url.protocol) return false;
  if (!hostMatches(host, url.hostname)) return false;
  const target = url.pathname + url.search;
  return path.endsWith("*") ? target.startsWith(path.slice(0, -1)) : target === path;
}

const hostMatches = (host, hostname) => (host.startsWith("*") ? hostname.endsWith(host.slice(1)) : hostname === host);

// A longer host goes before a longer path, and a whole one before one with a star.
function specificity({ host, path }) {
  const score = (part) => part.length * 2 + (part.includes("*") ? 0 : 1);
  return score(host) * 100_000 + score(path);
}

function split(pattern) {
  const [, scheme, host, path] = /^(?:(https?):\/\/)?([^/]*)(.*)$/i.exec(pattern);
  return { scheme: scheme?.toLowerCase(), host: host.toLowerCase(), path: path || "/" };
}

/**
 * Whether a host is this machine's or the platform's own: anybody can make another one lead here, and a page in a
 * browser could then read what scripts answer. A route for every host does not count.
 */
export function isOwnHost(hostname, { routes, domains, workersDev, suffix, hosts }) {
  if (hostname === "localhost" || hostname.endsWith(".localhost")) return true;
  if (hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname)) return true;
  if (hostname in domains || hostname in workersDev || hosts.has(hostname)) return true;
  if (suffix && hostname.endsWith(`.${suffix}`)) return true;
  return routes.some(({ host }) => host !== "*" && host !== "" && hostMatches(host, hostname));
}

/** `shop.localhost` as the platform knows it: `shop.acme.app` for the suffix `acme.app`. */
export function publicHost(hostname, suffix) {
  const label = /^(.+)\.localhost$/.exec(hostname)?.[1];
  return label && suffix ? `${label}.${suffix}` : hostname;
}
