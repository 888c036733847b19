// The one door of a loaded Worker: every call of the platform comes in here and is handed to the Worker's own handler.
import { RpcTarget, WorkerEntrypoint, abortIsolate } from "cloudflare:workers";
import { Invocation, report, started } from "./invocation.mjs";
import { listeners, prepare } from "./prelude.mjs";

/** The default export of the generated main module, around the Worker's own exports. */
export function entrypoint(exported) {
  started();
  return class extends WorkerEntrypoint {
    async fetch(request) {
      const { props } = this.ctx;
      const handler = this.#handler(exported, props);
      if (!props.cf) Object.defineProperty(request, "cf", { value: undefined, configurable: true });
      return new Invocation(request, props).run(() => handler("fetch", request));
    }

    /** A method that a service binding or a dispatcher called. */
    async callMethod(method, values) {
      const { props } = this.ctx;
      const handler = this.#handler(exported, props);
      const request = { method: "RPC", url: method };
      return new Invocation(request, props).run(() => handler(method, ...values));
    }

    async deliver(events) {
      const { props } = this.ctx;
      const handler = this.#handler(exported, props);
      return new Invocation({ method: "TAIL", url: "tail" }, props).run(() => handler("tail", events));
    }

    /** Answered as soon as every module has started: the names of what can be called. */
    async ready() {
      await prepare(this.env);
      return exported === null ? [...listeners.added.keys()] : handlersOf(exported);
    }

    /** Free this isolate's memory. The call itself fails by design. */
    async leave() {
      abortIsolate("evicted");
    }

    #handler(exports, props) {
      const context = userContext(this.ctx, props);
      const env = props.asOutbound ? { ...this.env, ...props.params } : this.env;
      const target = exports === null ? listeners : exports[props.entrypoint ?? "default"];
      return (method, ...values) => invoke(target, method, values, env, context, props);
    }
  };
}

function invoke(target, method, values, env, context, props) {
  if (target === undefined) throw new Error(`The Worker has no entrypoint named "${props.entrypoint ?? "default"}".`);
  if (target === listeners) return listeners.dispatch(method, values[0], context);
  if (typeof target === "function" && !isClass(target)) {
    if (method !== "fetch") throw noHandler(method);
    return target(values[0], env, context);
  }
  const receiver = typeof target === "function" ? new target(context, env) : target;
  if (isReserved(method) || typeof receiver[method] !== "function") throw noHandler(method);
  return typeof target === "function" ? receiver[method](...values) : receiver[method](...values, env, context);
}

// What RPC must not reach, as in the runtime: inherited machinery and what would make a stub look like a promise.
function isReserved(method) {
  return method in Object.prototype || method === "then" || method === "dup" || method in RpcTarget.prototype;
}

function isClass(value) {
  return value.prototype instanceof WorkerEntrypoint || /^class\b/.test(Function.prototype.toString.call(value));
}

function noHandler(method) {
  return new Error(`Handler does not export a ${method}() function.`);
}

function handlersOf(exported) {
  const found = [];
  for (const [name, value] of Object.entries(exported)) {
    if (typeof value === "function") found.push(isClass(value) ? name : `${name}()`);
    else if (value !== null && typeof value === "object") {
      for (const [method, member] of Object.entries(value)) if (typeof member === "function") found.push(`${name}.${method}`);
    }
  }
  return found;
}

// The runtime's own context shows our properties, and would let a rejected promise pass unseen.
function userContext(real, props) {
  return {
    waitUntil(promise) {
      real.waitUntil(Promise.resolve(promise).catch((error) => report(props.id, error)));
    },
    passThroughOnException() {},
    props: props.props ?? {},
    get exports() {
      return real.exports;
    },
  };
}
