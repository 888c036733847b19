// What the platform changes in a Worker's global scope, before any code of the Worker: each call that leaves the
// Worker is counted, and each wait is told to the meter of its invocation.
import { current, hookConsole } from "./invocation.mjs";

// Methods that return a promise of something outside the Worker. To add one: its class and its name.
const WAITS = [
  [Request, ["arrayBuffer", "blob", "bytes", "formData", "json", "text"]],
  [Response, ["arrayBuffer", "blob", "bytes", "formData", "json", "text"]],
  [Blob, ["arrayBuffer", "bytes", "text"]],
  [ReadableStream, ["cancel", "pipeTo"]],
  [ReadableStreamDefaultReader, ["cancel", "read"]],
  [ReadableStreamBYOBReader, ["cancel", "read", "readAtLeast"]],
  [WritableStreamDefaultWriter, ["abort", "close", "write"]],
  [WritableStream, ["abort", "close"]],
  [SubtleCrypto, ["decrypt", "deriveBits", "deriveKey", "digest", "encrypt", "exportKey", "generateKey", "importKey"]],
  [SubtleCrypto, ["sign", "unwrapKey", "verify", "wrapKey"]],
];
const TIMERS = ["setImmediate", "setInterval", "setTimeout"];

/** `key` proves to the outbound side that a request's parameters were written here. */
export function install(key) {
  for (const [type, names] of WAITS) for (const name of names) hookWait(type.prototype, name);
  hookWait(Object.getPrototypeOf(scheduler), "wait");
  for (const name of TIMERS) hookTimer(name);
  hookFetch(key);
  hookConsole();
  // The runtime has no cache behind a loaded Worker and throws at its first use.
  Object.defineProperty(globalThis, "caches", { value: new EmptyCaches(), configurable: true, writable: true });
}

function hookWait(prototype, name) {
  replace(prototype, name, (original) =>
    function (...values) {
      const invocation = current();
      const result = original.apply(this, values);
      return invocation && typeof result?.then === "function" ? invocation.waited(result) : result;
    },
  );
}

function hookTimer(name) {
  replace(globalScope(name), name, (original) =>
    function (callback, ...rest) {
      const invocation = current();
      if (!invocation?.metered || typeof callback !== "function") return original.call(globalThis, callback, ...rest);
      const metered = (...values) => {
        invocation.resumed();
        try {
          return callback(...values);
        } finally {
          invocation.spent();
        }
      };
      return original.call(globalThis, metered, ...rest);
    },
  );
}

function hookFetch(key) {
  replace(globalScope("fetch"), "fetch", (original) =>
    async function fetch(input, init) {
      const invocation = current();
      if (!invocation) return original.call(globalThis, input, init);
      invocation.subrequest();
      const request = init instanceof Request ? new Request(input, init) : input;
      const options = init instanceof Request ? {} : init;
      const cf = { rcn: { key, params: invocation.params, caller: invocation.id }, cf: options?.cf ?? request?.cf };
      return invocation.waited(original.call(globalThis, request, { ...options, cf }));
    },
  );
}

function replace(owner, name, make) {
  const descriptor = owner && Object.getOwnPropertyDescriptor(owner, name);
  if (typeof descriptor?.value !== "function") return; // this compatibility date has no such method
  const replacement = make(descriptor.value);
  Object.defineProperty(replacement, "name", { value: name });
  Object.defineProperty(owner, name, { ...descriptor, value: replacement });
}

// fetch and the timers sit on the prototype of the global object; what is replaced there cannot be reached around.
function globalScope(name) {
  let scope = globalThis;
  while (scope && !Object.hasOwn(scope, name)) scope = Object.getPrototypeOf(scope);
  return scope;
}

/** Caches that never hold anything, as a cache may. */
class EmptyCaches {
  #cache = {
    match: async () => undefined,
    put: async (_request, response) => void (await response.body?.cancel()),
    delete: async () => false,
  };
  get default() {
    return this.#cache;
  }
  async open() {
    return this.#cache;
  }
}
