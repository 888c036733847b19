/**
 * The dispatcher: finds the user Worker that a request is for, and calls it under its customer's terms.
 *
 * It ships with the reconciler and reads no database: all it knows is routing_table.mjs, compiled from the
 * repository and uploaded beside it. A dispatcher of your own can import the same table:
 *
 *   format      1
 *   platform    id of the platform
 *   hostname    "{script}.example.com", or null      path      "/dispatch/{script}", or null
 *   bindings    outbound Worker -> name of the dispatch namespace binding; "" is the one without
 *   parameters  outbound Worker -> which of customer, tier, script, url, hostname, trace it is told
 *   pages       name of an answer below -> HTML with {title} {detail} {status} {trace}
 *   hosts       hostname -> script                   customers customer -> script (for a pattern with {customer} alone)
 *   scripts     script -> [customer, place in terms]
 *   terms       [{tier, suspended?, limits?: {cpuMs?, subRequests?}, outbound?}]
 *
 * With `table: kv` the last four are spread over Workers KV, and `shards` lists the digests they are stored under.
 */
import table from "./routing_table.mjs";

// Each answer that the dispatcher gives by itself: status, title, detail.
const ANSWERS = {
  unknown: [404, "Not found", "There is nothing at this address."],
  missing: [404, "Not deployed", "The application at this address is not deployed at the moment."],
  suspended: [403, "Suspended", "The application at this address is suspended."],
  cpu: [429, "CPU limit reached", "The application used more CPU time than it may use for one request."],
  subrequests: [503, "Subrequest limit reached", "The application made more subrequests than it may make for one request."],
  failed: [502, "Application error", "The application at this address failed to answer."],
  unavailable: [503, "Temporarily unavailable", "The address could not be looked up. Try again in a moment."],
};

// Names stop at the end of a label or segment: {script} is never read in two ways.
const expression = (pattern) =>
  pattern.replace(/[.]/g, "\\.").replace(/\{(\w+)\}/g, "(?<$1>[a-z0-9_-]+)");
const hostPattern = table.hostname && new RegExp(`^${expression(table.hostname)}$`);
const pathPattern = table.path && new RegExp(`^${expression(table.path)}(?![^/])`);

// Headers that a client must not set. The first two choose a version of the user Worker; the last is ours.
const TRACE = "x-dispatch-trace";
const STRIPPED = ["cloudflare-workers-version-overrides", "cloudflare-workers-version-key", TRACE];

export default {
  async fetch(request, env) {
    const trace = crypto.randomUUID();
    const url = new URL(request.url);
    let route;
    try {
      route = await resolve(url, env);
    } catch (error) {
      return answer("unavailable", request, trace, url, error);
    }
    if (!route) return answer("unknown", request, trace, url);
    if (route.terms.suspended) return answer("suspended", request, trace, url);

    // Method, body (as a stream), upgrade and `cf` are taken over as they are.
    const forwarded = new Request(route.prefix ? without(url, route.prefix) : request.url, request);
    for (const name of STRIPPED) forwarded.headers.delete(name);
    forwarded.headers.set(TRACE, trace);

    try {
      // `return await`: a missing script and a passed limit throw at fetch(), not at get().
      return await worker(route, env, url, trace).fetch(forwarded);
    } catch (error) {
      return answer(failure(error), request, trace, url, error, route);
    }
  },
};

/** Exact hostname, then hostname pattern, then path. A host that fits the pattern is never answered by path:
 *  one customer's script would answer under another's name. */
async function resolve(url, env) {
  const host = url.hostname.replace(/[.]$/, "");
  const exact = await part("h", host, env);
  if (Object.hasOwn(exact.hosts, host)) return route(exact, exact.hosts[host]);
  const byHost = hostPattern?.exec(host);
  if (byHost) return named(byHost.groups, env);
  const byPath = pathPattern?.exec(url.pathname);
  return byPath && named(byPath.groups, env, byPath[0]);
}

/** Where a pattern leads. With both names in it, the script must be that customer's. */
async function named({ script, customer }, env, prefix) {
  if (script === undefined) {
    const found = await part("c", customer, env);
    return Object.hasOwn(found.customers, customer) ? route(found, found.customers[customer], prefix) : undefined;
  }
  const found = await part("s", script, env);
  if (!Object.hasOwn(found.scripts, script)) return undefined;
  if (customer !== undefined && found.scripts[script][0] !== customer) return undefined;
  return route(found, script, prefix);
}

function route(found, script, prefix) {
  const [customer, place] = found.scripts[script];
  return { script, customer, terms: found.terms[place], prefix };
}

// The parts of a table in KV, as far as this isolate has met them: a dozen KB each, the one that was not used for
// longest goes first. Keys are digests, so nothing here ever becomes stale. What is kept is the value and never the
// promise, which belongs to the request that made it. KV itself may remember for as long that a key was not there.
const PARTS_KEPT = 256;
const SECONDS_IN_KV_CACHE = 300;
const parts = new Map();

/** The part of the table that knows a name: the table itself, or its shard in KV. */
async function part(section, name, env) {
  if (!table.shards) return table;
  const digest = table.shards[crc32(`${section}:${name}`) & (table.shards.length - 1)];
  const options = { type: "json", cacheTtl: SECONDS_IN_KV_CACHE };
  const found = parts.get(digest) ?? (await env.ROUTES.get(`routes/${digest}`, options));
  if (!found) throw new Error(`routes/${digest} is not in KV`);
  parts.delete(digest);
  parts.set(digest, found);
  if (parts.size > PARTS_KEPT) parts.delete(parts.keys().next().value);
  return found;
}

function crc32(text) {
  let crc = -1;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

/** The address without the prefix that named the script. Assigning to `pathname` can not change the host, whatever
 *  the rest of the path looks like. */
function without(url, prefix) {
  const shorter = new URL(url);
  shorter.pathname = url.pathname.slice(prefix.length) || "/";
  return shorter;
}

/** The user Worker, under its limits and by way of its outbound Worker, which is told what it declared and no more. */
function worker({ script, customer, terms }, env, url, trace) {
  const options = {};
  if (terms.limits) options.limits = terms.limits;
  if (terms.outbound) {
    const known = { customer, tier: terms.tier, script, url: url.href, hostname: url.hostname, trace };
    options.outbound = Object.fromEntries(table.parameters[terms.outbound].map((name) => [name, known[name]]));
  }
  return env[table.bindings[terms.outbound ?? ""]].get(script, {}, options);
}

/** Which answer an exception stands for. The runtime tells them apart by their messages only. */
function failure(error) {
  const message = String(error?.message ?? error);
  if (message.startsWith("Worker not found")) return "missing";
  if (message.includes("CPU time limit")) return "cpu";
  if (message.includes("Too many subrequests")) return "subrequests";
  return "failed";
}

/** An answer of the dispatcher's own. What a user Worker threw goes to the log and never to the client, who gets the
 *  trace id to ask with. Nothing of the request stands in a page, so there is nothing to escape. */
function answer(name, request, trace, url, error, route) {
  const [status, title, detail] = ANSWERS[name];
  if (error) {
    const { script, customer } = route ?? {};
    const text = String(error?.stack ?? error);
    console.error(JSON.stringify({ dispatch: name, trace, hostname: url.hostname, customer, script, error: text }));
  }
  const headers = { "cache-control": "no-store", vary: "accept", "x-content-type-options": "nosniff", [TRACE]: trace };
  if (!request.headers.get("accept")?.includes("text/html")) {
    const problem = { type: "about:blank", title, status, detail, trace };
    headers["content-type"] = "application/problem+json";
    return new Response(JSON.stringify(problem), { status, headers });
  }
  headers["content-type"] = "text/html; charset=utf-8";
  const own = Object.hasOwn(table.pages, name);
  if (!own) headers["content-security-policy"] = "default-src 'none'; style-src 'unsafe-inline'";
  const values = { title, detail, status, trace };
  const html = (own ? table.pages[name] : PAGE).replace(/\{(title|detail|status|trace)\}/g, (_, key) => values[key]);
  return new Response(html, { status, headers });
}

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
  body { min-height: 90vh; margin: 0; display: grid; place-content: center; padding: 1rem; }
  main { max-width: 32rem; border-left: .25rem solid #f6821f; padding-left: 1.5rem; }
  h1 { margin: 0; font-size: 1.75rem; }
  small { opacity: .65; overflow-wrap: anywhere; }
</style>
<main><h1>{title}</h1><p>{detail}</p><small>{status} · {trace}</small></main>
</html>
`;
