// Which ordinary Worker answers an address, by the account's routes and custom domains. Pure.

/** The Worker's name; null when a route switches Workers off there; undefined when nothing answers. */
export function workerFor(url, { routes, domains, workersDev }) {
  const host = url.hostname;
  const route = routes
    .filter(({ pattern }) => matches(pattern, url))
    .sort((one, other) => specificity(other.pattern) - specificity(one.pattern))[0];
  if (route) return route.script ?? domains[host] ?? null;
  return domains[host] ?? workersDev[host];
}

/** `*` stands at the start of the host and at the end of the path only, as in Cloudflare's routes. */
export function matches(pattern, url) {
  const { scheme, host, path } = split(pattern);
  if (scheme && `${scheme}:` !== url.protocol) return false;
  const hostMatches = host.startsWith("*") ? url.hostname.endsWith(host.slice(1)) : url.hostname === host;
  if (!hostMatches) return false;
  const target = url.pathname + url.search;
  return path.endsWith("*") ? target.startsWith(path.slice(0, -1)) : target === path;
}

// A longer host goes before a longer path, and a whole one before one with a star.
function specificity(pattern) {
  const { host, path } = split(pattern);
  const score = (part) => part.length * 2 + (part.includes("*") ? 0 : 1);
  return score(host) * 100_000 + score(path);
}

function split(pattern) {
  const [, scheme, host, path] = /^(?:(https?):\/\/)?([^/]*)(.*)$/i.exec(pattern);
  return { scheme: scheme?.toLowerCase(), host: host.toLowerCase(), path: path || "/" };
}

/** `shop.localhost` as the platform knows it: `shop.acme.app` for the suffix `acme.app`. */
export function publicHost(hostname, suffix) {
  const label = /^(.+)\.localhost$/.exec(hostname)?.[1];
  return label && suffix ? `${label}.${suffix}` : hostname;
}
