// What a Worker finds in `env` for each binding that is more than a value.
//
// To add a kind: one function in MAKERS here, and its stub or its values in runtime_wire.py. A large one has a module of
// its own, named after the kind, which is put beside only those scripts that bind it and adds itself to MAKERS.
import { current, note } from "./invocation.mjs";

export const MAKERS = {
  analytics_engine: () => ({ writeDataPoint: (point) => note("data-point", point) }),
  assets: (_binding, { requests }) => ({ fetch: caller(requests) }),
  dispatch_namespace: (binding, stubs) => new DispatchNamespace(binding, stubs),
  queue: (binding) => new Queue(binding.queue),
  ratelimit: (binding) => new RateLimit(binding),
  secret_key: ({ format, key, algorithm, extractable, usages }) =>
    crypto.subtle.importKey(format, format === "jwk" ? key : Uint8Array.fromBase64(key), algorithm, extractable, usages),
  service: (_binding, stubs) => callable(stubs, {}),
  unavailable: (binding) => unavailable(binding),
};

/** `stubs`: where its requests go, and its other calls if it has any. */
export function makeBinding(binding, stubs) {
  return MAKERS[binding.kind](binding, stubs);
}

/** A subrequest to something of the platform: counted like any other, and its time is a wait. */
async function outgoing(call) {
  const invocation = current();
  invocation?.subrequest();
  return invocation ? invocation.waited(call()) : call();
}

/** fetch() of a stub, as a subrequest. */
export const caller = (stub) => (url, init) => outgoing(() => stub.fetch(url, init));

/** Something with fetch(), whose every other method is called over RPC. `target` goes along, hidden in `cf`. */
function callable({ requests, calls }, target) {
  const along = () => ({ ...target, caller: current()?.id });
  const fetch = (input, init) =>
    outgoing(() => requests.fetch(input, { ...init, cf: { rcn: along(), cf: init?.cf ?? input?.cf } }));
  return new Proxy(
    { fetch },
    {
      get(own, name) {
        if (name in own) return own[name];
        if (typeof name === "symbol" || name === "then") return undefined;
        return (...values) => outgoing(() => calls.callMethod(name, values, along()));
      },
    },
  );
}

class DispatchNamespace {
  #parameters;
  #stubs;

  constructor(binding, stubs) {
    this.#parameters = binding.parameters;
    this.#stubs = stubs;
  }

  /** At once and lazily, as Cloudflare's: whether there is such a script shows when it is called. */
  get(name, _args = {}, options = {}) {
    const target = { name: String(name), limits: options?.limits, params: this.#declared(options?.outbound) };
    return callable(this.#stubs, target);
  }

  #declared(outbound) {
    const given = Object.entries(outbound ?? {}).filter(([name]) => this.#parameters.includes(name));
    return Object.fromEntries(given);
  }
}

/** Messages are shown among the events of the script; nothing consumes them. */
class Queue {
  #name;
  constructor(name) {
    this.#name = name;
  }
  async send(body) {
    note("queue-message", { queue: this.#name, body });
  }
  async sendBatch(messages) {
    for (const { body } of messages) note("queue-message", { queue: this.#name, body });
  }
}

/** Counted per loaded Worker, in windows that begin with their first call. */
class RateLimit {
  #limit;
  #period;
  #windows = new Map();
  constructor({ limit, period }) {
    this.#limit = limit;
    this.#period = period * 1000;
  }
  async limit({ key }) {
    const now = Date.now();
    const last = this.#windows.get(key);
    const window = last && now - last.since < this.#period ? last : { since: now, calls: 0 };
    window.calls += 1;
    this.#windows.set(key, window);
    return { success: window.calls <= this.#limit };
  }
}

function unavailable({ name, type, why }) {
  const message = `Binding ${name} (${type}) is not available on the embedded platform: ${why}.`;
  const refuse = () => {
    throw new Error(message);
  };
  return new Proxy(
    {},
    { get: (_target, key) => (typeof key === "symbol" || key === "then" || key === "toJSON" ? undefined : refuse()) },
  );
}
