// The one door of a loaded Worker: every call of the platform comes in here and is handed to the Worker's own handler.
import { RpcTarget, WorkerEntrypoint, abortIsolate } from "cloudflare:workers";
import { Invocation, report, started } from "./invocation.mjs";
import { listeners, prepare } from "./prelude.mjs";

/**
 * What the generated main module exports, around the Worker's own exports: an object for requests, which costs the
 * runtime less for each than a class does, and a class for every other call.
 */
export function entrypoints(exported) {
  started();
  const requests = {
    async fetch(request, env, context) {
      const { props } = context;
      if (!props.cf) Object.defineProperty(request, "cf", { value: undefined, configurable: true });
      return new Invocation(request, props).run(() => invoke(exported, "fetch", [request], env, context));
    },
  };
  class Calls extends WorkerEntrypoint {
    /** A method that a service binding or a dispatcher called. */
    async callMethod(method, values) {
      return this.#run({ method: "RPC", url: method }, method, values);
    }

    async deliver(events) {
      return this.#run({ method: "TAIL", url: "tail" }, "tail", [events]);
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

    #run(request, method, values) {
      return new Invocation(request, this.ctx.props).run(() => invoke(exported, method, values, this.env, this.ctx));
    }
  }
  return { requests, Calls };
}

function invoke(exported, method, values, given, real) {
  const { props } = real;
  const context = userContext(real, props);
  const env = props.asOutbound ? { ...given, ...props.params } : given;
  const target = exported === null ? listeners : exported[props.entrypoint ?? "default"];
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
