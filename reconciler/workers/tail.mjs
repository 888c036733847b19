/**
 * A sample tail Worker: one JSON line for each invocation of the dispatcher and of the user Workers behind it.
 *
 * `tail_workers: {acme-tail: {}}` in platform.yaml deploys it. Set on the dispatcher alone, it gets the events of every
 * user Worker that the dispatcher calls. To send the lines somewhere else, copy this file, name the copy as its `main`,
 * and replace `emit`.
 */
export default {
  tail(events) {
    for (const event of events) emit(line(event));
  },
};

function emit(line) {
  console.log(JSON.stringify(line));
}

/** What is worth keeping of a trace event. Absent fields leave no trace in the line. */
function line(event) {
  const { request, response, cron, scheduledTime, queue } = event.event ?? {};
  return {
    script: event.scriptName ?? undefined,
    namespace: event.dispatchNamespace ?? undefined,
    tags: event.scriptTags?.length ? event.scriptTags : undefined, // customer and tier are among them
    version: event.scriptVersion?.id,
    entrypoint: event.entrypoint,
    outcome: event.outcome, // ok, exception, exceededCpu, exceededMemory, canceled, ...
    at: event.eventTimestamp && new Date(event.eventTimestamp).toISOString(),
    cpuMs: event.cpuTime,
    wallMs: event.wallTime,
    trace: request?.headers?.["x-dispatch-trace"], // the dispatcher's, the same in its log and in error pages
    method: request?.method,
    url: request && withoutQuery(request.url),
    status: response?.status,
    cron: cron ?? undefined,
    scheduledTime: scheduledTime ?? undefined,
    queue: queue ?? undefined,
    exceptions: event.exceptions?.map(({ name, message }) => ({ name, message })) ?? [],
    logs: event.logs?.length ?? 0,
    truncated: event.truncated || undefined,
  };
}

/** Queries hold tokens and addresses that no log should keep. */
function withoutQuery(address) {
  const url = new URL(address);
  return url.origin + url.pathname;
}
