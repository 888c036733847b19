// Scripts from the control plane to running isolates: what is known of each, which are in memory, and which must go.
//
// Law: a request that begins after an invalidation was answered runs the new version. Nothing is asked of the control
// plane for a script that is known, and nothing about one is kept past its invalidation.
import bindings from "injected/bindings.mjs";
import d1 from "injected/d1.mjs";
import entrypoint from "injected/entrypoint.mjs";
import hooks from "injected/hooks.mjs";
import invocation from "injected/invocation.mjs";
import kvNamespace from "injected/kv_namespace.mjs";
import prelude from "injected/prelude.mjs";
import r2Bucket from "injected/r2_bucket.mjs";

const FOLDER = ".reconciler"; // of the modules that are put beside the Worker's own
const INJECTED = { bindings, entrypoint, hooks, invocation, prelude };
const BY_KIND = { d1, kv_namespace: kvNamespace, r2_bucket: r2Bucket }; // only beside the scripts that have such a binding
const MAIN = `${FOLDER}/main.mjs`;


const known = new Map(); // "namespace/name" -> script, as the control plane gave it
const reading = new Set(); // { at, stale }: scripts that are being asked for
const isolates = new Map(); // key -> Isolate, the least recently used first
let generation = 0;
let serial = 0;

/** The two entrypoints of a loaded script: for requests, and for every other call. No Worker exports the second name. */
export const REQUESTS = "default";
export const CALLS = "reconciler:calls";

/** Called by nobody's dispatcher: from outside, by a service binding, as an outbound or a tail Worker. */
export const DIRECTLY = { outbound: null, tails: [] };

/** An id for one invocation. */
export const nextId = () => (serial += 1);

/** What went wrong before the Worker's first line could answer: a module does not parse, or fails as it starts. */
export class StartError extends Error {}

/** A script with its settings, or null when there is none of that name. */
export async function find(env, namespace, name) {
  const at = `${namespace}/${name}`;
  const found = known.get(at);
  if (found !== undefined) return found;
  for (;;) {
    const attempt = { at, stale: false };
    reading.add(attempt);
    const script = await read(env, namespace, name).finally(() => reading.delete(attempt));
    if (attempt.stale) continue;
    if (script !== null) known.set(at, script);
    return script;
  }
}

async function read(env, namespace, name) {
  const query = new URLSearchParams({ namespace, name });
  const reply = await env.CONTROL.fetch(`http://control/script?${query}`);
  if (reply.status === 404) return null;
  if (!reply.ok) throw new Error(`The local control plane answered ${reply.status}: ${await reply.text()}`);
  return await reply.json();
}

/**
 * Forget what is known of a script; its isolates end when their last request does. A name of null stands for every
 * script of the namespace, a namespace of null for every script.
 */
export function invalidate(env, ctx, namespace, name) {
  const changed = (at) =>
    name !== null ? at === `${namespace}/${name}` : namespace === null || at.startsWith(`${namespace}/`);
  for (const attempt of reading) if (changed(attempt.at)) attempt.stale = true;
  for (const at of known.keys()) if (changed(at)) known.delete(at);
  for (const [key, isolate] of isolates) if (changed(isolate.at)) retire(env, ctx, key, isolate);
}

/**
 * Run one call against an entrypoint of a script's isolate, loading it first if need be.
 *
 * `way` is how it is called: its `outbound` names the Worker that the script's own requests go through (null: they go
 * to the network as the platform allows it), its `tails` the dispatcher's tail Workers, which get the script's events
 * too. A script that is called in two ways has two isolates, so that code which gets around the hooks still cannot get
 * around the outbound Worker.
 */
export async function run(env, ctx, script, way, props, entrypoint, call) {
  const isolate = await open(env, ctx, script, way);
  const entry = stubOf(env, isolate, script, way, ctx).getEntrypoint(entrypoint, { props });
  isolate.running.set(props.id, props.params);
  try {
    return await call(entry);
  } finally {
    isolate.running.delete(props.id);
    if (isolate.retired && isolate.running.size === 0) leave(env, ctx, isolate);
  }
}

/** Start a script's modules and let go of them: what went wrong, or "". */
export async function tryStart(env, ctx, script) {
  try {
    const isolate = await open(env, ctx, script, DIRECTLY);
    retire(env, ctx, isolate.key, isolate);
    return isolate.handlers.length ? "" : "The uploaded script has no registered event handlers.";
  } catch (error) {
    return error.message;
  }
}

/** The outbound parameters that every request now running in an isolate was given; undefined when they differ. */
export function agreedParameters(key) {
  const isolate = isolates.get(key);
  const found = new Set([...(isolate?.running.values() ?? [])].map((params) => JSON.stringify(params ?? {})));
  return found.size === 1 ? JSON.parse([...found][0]) : undefined;
}

export function statistics() {
  return { known: known.size, loaded: isolates.size, loads: generation, requests: serial };
}

async function open(env, ctx, script, way) {
  const key = `${script.namespace}/${script.name}@${script.revision}|${way === DIRECTLY ? "" : JSON.stringify(way)}`;
  let isolate = isolates.get(key);
  if (isolate) {
    isolates.delete(key); // to the end: most recently used
    isolates.set(key, isolate);
    if (isolate.ready) return isolate;
  } else {
    // A new id each time: the loader remembers a failed load under its id for ever.
    const id = [script.namespace, script.name, script.revision, (generation += 1)].map(encodeURIComponent).join(".");
    isolate = { id, key, at: `${script.namespace}/${script.name}`, ready: false, retired: false, running: new Map() };
    isolates.set(key, isolate);
    makeRoom(env, ctx);
  }
  try {
    isolate.handlers = await stubOf(env, isolate, script, way, ctx).getEntrypoint(CALLS).ready();
  } catch (error) {
    if (isolates.get(key) === isolate) isolates.delete(key);
    throw new StartError(String(error.message).replace(/^Failed to start Worker:\n/, ""));
  }
  isolate.ready = true;
  script.modules = null; // read again if it is ever needed again
  return isolate;
}

function stubOf(env, isolate, script, way, ctx) {
  return env.LOADER.get(isolate.id, async () => {
    const whole = script.modules ? script : await read(env, script.namespace, script.name);
    if (whole === null) throw new Error("Worker not found.");
    return code(env, ctx, whole, way, isolate.key);
  });
}

function code(env, ctx, script, { outbound, tails }, key) {
  const kinds = Object.keys(BY_KIND).filter((kind) => script.bindings.some((binding) => binding.kind === kind));
  const modules = { [MAIN]: { js: mainModule(script, kinds) } };
  for (const kind of kinds) modules[`${FOLDER}/${kind}.mjs`] = { js: BY_KIND[kind] };
  for (const [name, source] of Object.entries(INJECTED)) modules[`${FOLDER}/${name}.mjs`] = { js: source };
  for (const module of script.modules) modules[module.name] = { [module.kind]: content(module) };
  const secret = crypto.randomUUID();
  const { exports } = ctx;
  const settings = {
    bindings: script.bindings.map(({ stub, ...rest }) => rest),
    key: secret,
    mark: env.MARK,
    suspect: script.suspect,
    syntax: script.syntax,
    who: `${script.namespace}/${script.name}`,
  };
  const stubs = {};
  for (const { name, stub } of script.bindings) {
    if (!stub) continue;
    const { entrypoint, props } = stub;
    stubs[name] = { requests: exports[entrypoint]({ props }), calls: exports[`${entrypoint}Calls`]?.({ props }) };
  }
  const { namespace, name } = script;
  return {
    compatibilityDate: script.compatibilityDate,
    compatibilityFlags: script.compatibilityFlags,
    mainModule: MAIN,
    modules,
    env: { ...script.values, __reconciler: { settings, stubs, meter: exports.Meter({ props: {} }) } },
    globalOutbound: exports.Outbound({ props: { namespace, name, outbound, key, secret } }),
    tails: [...new Set([...script.tails, ...tails])].map((service) => exports.Tail({ props: { service, namespace, name } })),
  };
}

function mainModule(script, kinds) {
  const own = JSON.stringify(`../${script.main}`);
  const exported = script.syntax === "modules" ? "exported" : "null";
  return [
    ...kinds.map((kind) => `import "./${kind}.mjs";`), // before the prelude makes the bindings
    `import { entrypoints } from "./entrypoint.mjs";`,
    script.syntax === "modules" ? `import * as exported from ${own};` : `import ${own};`,
    script.syntax === "modules" ? `export * from ${own};` : "",
    `const { requests, Calls } = entrypoints(${exported});`,
    `export { requests as default, Calls as "${CALLS}" };`,
  ].join("\n");
}

function content(module) {
  if (module.kind === "json") return JSON.parse(module.text);
  return module.text ?? Uint8Array.fromBase64(module.base64);
}

/** Let go of half of what is loaded: the memory of the whole is running out. */
export function trim(env, ctx) {
  makeRoom(env, ctx, Math.ceil(isolates.size / 2));
  return isolates.size;
}

function makeRoom(env, ctx, most = env.MOST_LOADED) {
  for (const [key, isolate] of isolates) {
    if (isolates.size <= most) return;
    if (isolate.ready && isolate.running.size === 0) retire(env, ctx, key, isolate);
  }
}

function retire(env, ctx, key, isolate) {
  isolates.delete(key);
  isolate.retired = true;
  if (isolate.running.size === 0) leave(env, ctx, isolate);
}

function leave(env, ctx, isolate) {
  const gone = env.LOADER.get(isolate.id, () => {
    throw new Error("already gone");
  });
  // The isolate ends in the middle of this call, so that it always fails.
  ctx.waitUntil(gone.getEntrypoint(CALLS).leave().then(() => {}, () => {}));
}
