// Runs before any code of a loaded Worker: takes the platform's own values out of `env`, puts the bindings in.
import { env as imported } from "cloudflare:workers";
import { makeBinding } from "./bindings.mjs";
import { install } from "./hooks.mjs";
import { configure } from "./invocation.mjs";

const SETTINGS = "__reconciler";
let prepared = false;

/** The listeners of a Worker in service-worker syntax. */
export const listeners = {
  added: new Map(),
  async dispatch(type, request, context) {
    const found = this.added.get(type);
    if (!found) throw new Error(`Handler does not export a ${type}() function.`);
    let answer = null;
    const event = Object.assign(new Event(type), {
      request,
      respondWith: (response) => void (answer ??= response),
      waitUntil: context.waitUntil,
      passThroughOnException() {},
    });
    for (const listener of found) listener(event);
    if (answer === null) throw new Error("The Worker's fetch listener did not call event.respondWith().");
    return await answer;
  },
};

/** Once; with `disallow_importable_env` only the first request brings `env`. */
export async function prepare(given) {
  if (prepared || !(SETTINGS in given)) return;
  prepared = true;
  const { settings, stubs, meter } = given[SETTINGS];
  delete given[SETTINGS];
  configure({ ...settings, meter });
  install(settings.key);
  for (const binding of settings.bindings) given[binding.name] = await makeBinding(binding, stubs[binding.name] ?? {});
  if (settings.syntax === "service-worker") serveAsScript(given);
}

function serveAsScript(env) {
  const add = globalThis.addEventListener;
  globalThis.addEventListener = (type, listener, ...rest) => {
    if (type !== "fetch") return add.call(globalThis, type, listener, ...rest);
    listeners.added.set(type, [...(listeners.added.get(type) ?? []), listener]);
  };
  Object.assign(globalThis, env);
}

await prepare(imported);
