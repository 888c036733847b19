// The embedded platform's data plane: one static Worker in front of every script, loaded on demand.
//
//   default      a request from outside: which ordinary Worker answers this address
//   Dispatch     a dispatch namespace binding: a user Worker by name
//   Service      a service binding: an ordinary Worker, or one of its named entrypoints
//   …Calls       the methods of those two; their requests come to an object, which costs the runtime less than a class
//   Outbound     everything a script's own fetch() and connect() reach
//   Storage      KV, D1 and R2, kept by the control plane
//   Assets, Tail what their names say
//   Meter        the CPU time that the system says was used
//   Admin        loopback only: invalidation, statistics, a sign of life
import { WorkerEntrypoint } from "cloudflare:workers";
import { serveAsset } from "./assets.mjs";
import { leaveByTcp, leavePlatform } from "./egress.mjs";
import { isOwnHost, publicHost, readAddresses, workerFor } from "./hosts.mjs";
import {
  CALLS, DIRECTLY, REQUESTS, StartError, agreedParameters, find, invalidate, nextId, run, statistics, trim, tryStart,
} from "./loading.mjs";

const HOST_HEADER = "x-reconciler-host"; // lets a client choose the host that the Worker sees
const ORDINARY = ""; // the namespace of ordinary Workers
const LOOPBACK_ADDRESS = "127.0.0.1"; // where the only clients are
const CF = { colo: "LOC", country: "XX", httpProtocol: "HTTP/1.1" };
let edge = null; // routes, domains and settings, until the account changes

export default {
  async fetch(request, env, ctx) {
    edge ??= await readEdge(env);
    const url = new URL(request.url);
    const { hostname, origin } = url;
    if (!isOwnHost(hostname, edge)) return plain(403, notOurs(hostname));
    let forwarded = new Request(request, { cf: CF });
    const asked = forwarded.headers.get(HOST_HEADER);
    const rewritten = rewrite(url, asked ?? publicHost(hostname, edge.suffix));
    const name = answering(url, edge);
    if (!name) return plain(404, nothingAt(url, edge));
    const script = await find(env, ORDINARY, name);
    if (!script) return plain(404, `There is no Worker named ${name}, which should answer ${url.host}. Deploy it first.`);

    if (rewritten) forwarded = new Request(url, forwarded);
    const { headers } = forwarded;
    if (asked !== null) headers.delete(HOST_HEADER);
    if (rewritten) headers.set("host", url.host);
    headers.set("cf-connecting-ip", LOOPBACK_ADDRESS);
    try {
      const response = await answer(env, ctx, script, { way: DIRECTLY, cf: true }, forwarded);
      return rewritten ? withLocalLocation(response, url, origin) : response;
    } catch (error) {
      return plain(500, `Worker ${name} threw an exception (Cloudflare would answer error 1101).\n\n${told(error)}`);
    }
  },
};

export const Dispatch = {
  async fetch(request, env, ctx) {
    const { rcn: target, cf } = request.cf;
    const { script, terms } = await dispatched(env, ctx.props, target);
    return answer(env, ctx, script, { ...terms, ...showing(script.trusted ? cf : undefined) }, request);
  },
};

export class DispatchCalls extends WorkerEntrypoint {
  async callMethod(method, values, target) {
    const { script, terms } = await dispatched(this.env, this.ctx.props, target);
    return callMethod(this.env, this.ctx, script, terms, method, values);
  }
}

async function dispatched(env, { namespace, outbound, tails }, { name, limits, params, caller }) {
  const script = await find(env, namespace, name);
  if (!script) throw new Error("Worker not found.");
  return { script, terms: { way: { outbound, tails }, params, limits: lower(script.limits, limits), caller } };
}

export const Service = {
  async fetch(request, env, ctx) {
    const { rcn, cf } = request.cf;
    const { script, terms } = await served(env, ctx.props, rcn);
    return answer(env, ctx, script, { ...terms, ...showing(cf) }, request);
  },
};

export class ServiceCalls extends WorkerEntrypoint {
  async callMethod(method, values, along) {
    const { script, terms } = await served(this.env, this.ctx.props, along);
    return callMethod(this.env, this.ctx, script, terms, method, values);
  }
}

async function served(env, { namespace, service, entrypoint, props }, { caller }) {
  const script = await find(env, namespace, service);
  if (!script) throw new Error(`Service binding: there is no Worker named "${service}".`);
  return { script, terms: { way: DIRECTLY, entrypoint, props, limits: script.limits, caller } };
}

export class Outbound extends WorkerEntrypoint {
  async fetch(request) {
    const { namespace, name, outbound, key, secret } = this.ctx.props;
    const rcn = request.cf?.rcn;
    if (!outbound) return leavePlatform(request, this.env, who(namespace, name));
    // Without the hooks' proof (a WebSocket constructor, say) the parameters are those of the requests now running.
    const params = rcn?.key === secret ? rcn.params : agreedParameters(key);
    if (params === undefined && outbound.parameters.length) {
      return plain(502, `${who(namespace, name)}: it is not known which request this fetch belongs to.`);
    }
    const script = await find(this.env, ORDINARY, outbound.service);
    if (!script) return plain(502, `There is no outbound Worker named ${outbound.service}. Deploy it first.`);
    const { entrypoint } = outbound;
    const terms = { way: DIRECTLY, entrypoint, params, asOutbound: true, limits: script.limits, caller: rcn?.caller };
    return answer(this.env, this.ctx, script, { ...terms, ...showing(rcn ? request.cf.cf : request.cf) }, request);
  }

  async connect(socket) {
    const { outbound, namespace, name } = this.ctx.props;
    if (outbound) throw new Error(`${who(namespace, name)} has an outbound Worker, so it cannot use connect().`);
    await leaveByTcp(socket, this.env, (network, target) => network.connect(target));
  }
}

export class Storage extends WorkerEntrypoint {
  async fetch(request) {
    const { kind, id } = this.ctx.props;
    const url = new URL(request.url);
    const target = `http://control/${kind}/${encodeURIComponent(id)}${url.pathname}${url.search}`;
    return this.env.CONTROL.fetch(target, { method: request.method, body: request.body });
  }
}

export class Assets extends WorkerEntrypoint {
  async fetch(request) {
    const { namespace, name } = this.ctx.props;
    const script = await find(this.env, namespace, name);
    return (await serveAsset(request, script.assets, this.env)) ?? new Response("Not Found", { status: 404 });
  }
}

export class Tail extends WorkerEntrypoint {
  async tail(events) {
    const { service, namespace, name } = this.ctx.props;
    const script = await find(this.env, ORDINARY, service);
    if (!script) return;
    const items = JSON.parse(JSON.stringify(events)).map((item) => ({
      ...item,
      scriptName: name,
      dispatchNamespace: namespace || undefined,
      logs: item.logs.flatMap((log) => ownLog(log, this.env.MARK)),
    }));
    const props = { id: nextId(), limits: script.limits };
    await run(this.env, this.ctx, script, DIRECTLY, props, CALLS, (entry) => entry.deliver(items));
  }
}

export class Meter extends WorkerEntrypoint {
  /** Milliseconds that the thread ran, and that it waited for its turn, since a moment a little before this one. */
  async usage(since) {
    const reply = await this.env.CONTROL.fetch(`http://control/usage?since=${since}`);
    return reply.json();
  }
}

export class Admin extends WorkerEntrypoint {
  async fetch(request) {
    if (request.headers.get("authorization") !== `Bearer ${this.env.ADMIN_TOKEN}`) return plain(403, "forbidden");
    const { pathname } = new URL(request.url);
    if (pathname === "/ping") return plain(200, "pong");
    if (pathname === "/stats") return Response.json(statistics());
    if (pathname === "/trim") return plain(200, `${trim(this.env, this.ctx)} are loaded`);
    if (pathname === "/start") return this.#start(await request.json());
    if (pathname !== "/invalidate" || request.method !== "POST") return plain(404, "not found");
    const { namespace, name } = await request.json();
    if (!namespace) edge = null; // an ordinary Worker has the namespace "", and addresses belong to those
    invalidate(this.env, this.ctx, namespace ?? null, name ?? null);
    return plain(200, "done");
  }

  async #start({ namespace, name }) {
    const script = await find(this.env, namespace, name);
    return Response.json(script.problem ?? (await tryStart(this.env, this.ctx, script)));
  }
}

// Among a script's logs are the lines that it writes for us: its own come as "<mark>L id who level text", and a dot.
function ownLog(log, mark) {
  const [first, ...rest] = log.message;
  if (typeof first !== "string" || !first.startsWith(mark)) return [log];
  if (!first.startsWith(`${mark}L `)) return [];
  const [, , , level, ...words] = first.slice(mark.length).split(" ");
  const text = words.join(" ");
  return [{ ...log, level, message: text === "" ? rest : [text, ...rest] }];
}

async function readEdge(env) {
  const reply = await env.CONTROL.fetch("http://control/edge");
  return readAddresses(await reply.json());
}

/** Make an address the one that the Worker shall see: whether that is another one. */
function rewrite(url, host) {
  if (host === url.hostname) return false;
  url.host = host;
  if (!host.includes(":")) url.port = "";
  return true;
}

function answering(url, { routes, domains, workersDev, defaultWorker }) {
  const found = workerFor(url, { routes, domains, workersDev });
  return found === undefined ? defaultWorker : found;
}

function notOurs(host) {
  return (
    `${host} is no host of this platform, and it answers for no other.\n` +
    `Ask as localhost, with the header ${HOST_HEADER}: ${host}, or give the host a route, a domain or a script.`
  );
}

function nothingAt(url, { routes, domains, workersDev }) {
  const addresses = [...routes.map(({ pattern }) => pattern), ...Object.keys(domains), ...Object.keys(workersDev)];
  const list = addresses.length ? `These are answered:\n  ${addresses.sort().join("\n  ")}` : "No Worker has an address yet.";
  return `No Worker answers ${url.host}${url.pathname}.\n${list}`;
}

/**
 * Let a script answer a request: its static files first where it says so, then its code. `cf` in `terms` tells whether
 * it sees request.cf, `init` what is changed of the request.
 */
async function answer(env, ctx, script, terms, request) {
  if (script.problem) return plain(503, script.problem);
  if (script.assets && !terms.entrypoint) {
    const served = await serveBeforeCode(request, script, env);
    if (served) return served;
  }
  const { way, init, ...rest } = terms;
  const props = { limits: script.limits, ...rest, id: nextId() };
  return run(env, ctx, script, way, props, REQUESTS, (entry) => entry.fetch(request, init));
}

/** `cf` in place of what the request carries; undefined: the script sees none. */
function showing(cf) {
  return { cf: cf !== undefined, init: { cf: cf ?? {} } };
}

async function serveBeforeCode(request, script, env) {
  const { assets } = script;
  if (script.syntax === "assets") return (await serveAsset(request, assets, env)) ?? plain(404, "Not Found");
  const url = new URL(request.url);
  if (assets.workerFirst === true) return null;
  if (Array.isArray(assets.workerFirst) && runsFirst(assets.workerFirst, url.pathname)) return null;
  return serveAsset(request, assets, env, { beforeCode: true });
}

function runsFirst(patterns, path) {
  const hit = (pattern) => {
    const expression = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")).join(".*");
    return new RegExp(`^${expression}$`).test(path);
  };
  const excluded = patterns.filter((pattern) => pattern.startsWith("!")).map((pattern) => pattern.slice(1));
  return !excluded.some(hit) && patterns.some((pattern) => !pattern.startsWith("!") && hit(pattern));
}

async function callMethod(env, ctx, script, { way, ...terms }, method, values) {
  if (script.problem) throw new Error(script.problem);
  const props = { ...terms, id: nextId(), cf: false };
  return run(env, ctx, script, way, props, CALLS, (entry) => entry.callMethod(method, values));
}

/** For each limit the lower one of what was uploaded with the script and what the dispatcher gave. */
function lower(uploaded = {}, given = {}) {
  const least = (one, other) => (one === undefined ? other : other === undefined ? one : Math.min(one, other));
  return {
    cpuMs: least(uploaded.cpuMs, given?.cpuMs),
    subRequests: least(uploaded.subRequests, given?.subRequests),
  };
}

// A redirect to the host that we made up for the Worker leads back to the one that the browser knows.
function withLocalLocation(response, url, origin) {
  const location = response.headers.get("location");
  if (!location || !location.startsWith(`${url.origin}/`)) return response;
  const changed = new Response(response.body, response);
  changed.headers.set("location", origin + location.slice(url.origin.length));
  return changed;
}

function told(error) {
  return error instanceof StartError ? error.message : String(error.stack ?? error);
}

function who(namespace, name) {
  return namespace ? `User Worker ${name} (namespace ${namespace})` : `Worker ${name}`;
}

function plain(status, text) {
  return new Response(`${text}\n`, { status, headers: { "content-type": "text/plain;charset=utf-8" } });
}
