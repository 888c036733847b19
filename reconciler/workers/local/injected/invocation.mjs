// One invocation of a Worker: what it may use, what it has used, and what it said.
//
// CPU time is measured as the time between two moments at which we know that the Worker was running: when a hooked
// wait ends (or the invocation starts), and when the next hooked call is made (or the invocation ends). Time in which
// it might have been waiting never counts, so a Worker that only waits never runs over; CPU time spent right before a
// wait that has no hook goes uncounted by at most one heartbeat's worth of certainty. A clock cannot tell that the
// machine was busy with something else: before a Worker is refused for it, the system is asked what it really got.
import { AsyncLocalStorage } from "node:async_hooks";

// The Worker's code may replace any of these later.
const print = console.log.bind(console);
const now = performance.now.bind(performance);
const date = Date.now.bind(Date);
const every = setInterval.bind(globalThis);
const stop = clearInterval.bind(globalThis);

// A cold isolate compiles and collects garbage in its first milliseconds.
const SLACK_MS = 20;
const HEARTBEAT_MS = 5;
const WARM_UP = 4; // microtasks
const OVER_CPU = "Worker exceeded CPU time limit.";
const OVER_SUBREQUESTS = "Too many subrequests by single Worker invocation.";

const running = new AsyncLocalStorage();
let settings = { mark: "", who: "", meter: null };

/** The invocation on whose behalf the current code runs; undefined while modules start. */
export const current = () => running.getStore();

/** Called once, before any code of the Worker. */
export function configure(given) {
  settings = given;
  line("S", settings.who);
}

export function started() {
  line("T", settings.who);
}

export class Invocation {
  #cpu = 0;
  #excused = 0; // of it, what was no CPU time by the system's account
  #since = now();
  #began = now();
  #date = date();
  #heart;
  #ended = false;
  #subrequests = 0;
  #over = false;

  constructor(request, props) {
    this.id = props.id;
    this.params = props.params;
    this.cpuMs = props.limits?.cpuMs;
    this.subRequests = props.limits?.subRequests;
    this.metered = this.cpuMs !== undefined || settings.suspect;
    const customer = props.params?.customer;
    line("B", this.id, props.caller ?? 0, settings.who, request.method, request.url, customer ? encodeURIComponent(customer) : "");
  }

  /** Run the Worker's handler; report how it ended. */
  async run(handler) {
    this.#since = now();
    try {
      const answer = running.run(this, handler);
      if (this.metered) this.#beat();
      const result = await answer;
      this.spent();
      if (this.#suspected) await this.#prove();
      this.#end(result?.status ?? 200);
      return result;
    } catch (error) {
      const shown = this.#over ? new Error(OVER_CPU) : error;
      report(this.id, shown);
      this.#end(0);
      throw shown;
    } finally {
      this.#ended = true;
      if (this.#heart !== undefined) stop(this.#heart);
    }
  }

  // Most invocations end without waiting for anything, and need no heart: it starts some microtasks late.
  async #beat() {
    for (let tick = 0; tick < WARM_UP; tick += 1) await null;
    if (!this.#ended) this.#heart = every(() => (this.#since = now()), HEARTBEAT_MS);
  }

  /** Count one subrequest; throws when it is one too many. */
  subrequest() {
    this.#subrequests += 1;
    if (this.subRequests !== undefined && this.#subrequests > this.subRequests) throw new Error(OVER_SUBREQUESTS);
  }

  /** Count the time since the last known moment; throws when the limit is known to be passed. */
  spent() {
    if (!this.metered) return;
    const moment = now();
    this.#cpu += moment - this.#since;
    this.#since = moment;
    if (this.#over) throw new Error(OVER_CPU);
  }

  get #suspected() {
    return this.cpuMs !== undefined && this.#cpu - this.#excused > this.cpuMs + SLACK_MS;
  }

  /** Ask the system for the thread's own account since this began; throws when the limit is really passed. */
  async #prove() {
    const { ran, queued } = await settings.meter.usage(this.#date);
    this.#excused = Math.max(0, queued, this.#cpu - ran);
    this.#over ||= this.#suspected;
    if (this.#over) throw new Error(OVER_CPU);
    this.#since = now();
  }

  /** A promise that the Worker waits for: the time until it settles is not CPU time. */
  waited(promise) {
    if (!this.metered) return promise;
    this.spent();
    // The synchronous code after this call belongs to the Worker too; it ends before the microtask runs.
    this.#quietlySpent();
    return this.#unless(promise).then(
      (value) => {
        this.resumed();
        return value;
      },
      (error) => {
        this.resumed();
        throw error;
      },
    );
  }

  /** The promise, once the time up to here is known to be within the limit. */
  #unless(promise) {
    if (!this.#suspected) return promise;
    promise.catch(() => {}); // nobody hears of it when the limit was passed
    return this.#prove().then(() => promise);
  }

  resumed() {
    this.#since = now();
    if (settings.suspect) line("M", this.id);
  }

  async #quietlySpent() {
    await null;
    try {
      this.spent();
    } catch {
      // Remembered in #over: the next hooked call, or the end of the invocation, throws it to where it is seen.
    }
  }

  #end(status) {
    const milliseconds = (now() - this.#began).toFixed(1);
    const cpu = this.metered ? Math.max(0, this.#cpu - this.#excused).toFixed(1) : "-";
    line("E", this.id, status, milliseconds, cpu, this.#subrequests);
  }
}

/** Tell the platform of an exception that nobody in the Worker caught. */
export function report(id, error) {
  const { name, message, stack } = Object(error);
  line("X", id, settings.who, JSON.stringify({ name: String(name ?? "Error"), message: String(message ?? error), stack: String(stack ?? "") }));
}

/** Something that is neither console output nor an exception: a data point, a message on a queue. */
export function note(kind, value) {
  line("N", current()?.id ?? 0, settings.who, JSON.stringify({ kind, value }));
}

/** console.* with the script and the invocation beside each message. */
export function hookConsole() {
  for (const level of ["debug", "error", "info", "log", "trace", "warn"]) {
    console[level] = (...values) => {
      const start = `${settings.mark}L ${current()?.id ?? 0} ${settings.who} ${level} `;
      // The runtime formats the values as it does by itself; a format string has to stay the first of them.
      if (typeof values[0] === "string") print(start + values[0], ...values.slice(1));
      else print(start.replaceAll("%", "%%"), ...values);
      print(settings.mark + ".");
    };
  }
}

function line(...words) {
  print(settings.mark + words.join(" "));
}
