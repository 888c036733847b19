/**
 * The default outbound Worker: every fetch() of a user Worker comes through here.
 *
 * It lets through what the rules allow, sets the platform's headers, and logs. The rules are the `egress` section of
 * platform.yaml, compiled to egress_rules.mjs beside this file:
 *
 *   platform, tiers.<tier>, customers.<id>   {allow?: [pattern], deny?: [pattern]}
 *   headers   [{name, hosts: [pattern], from}]   `from` names a secret, or a parameter of the request
 *   log       "all", "refused" or "none"
 *
 * The dispatcher tells it who is calling: env.customer, env.tier, env.script, env.trace.
 */
import rules from "./egress_rules.mjs";

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const host = url.hostname.replace(/[.]+$/, ""); // "internal." is the same host as "internal"
    const verdict = decide(host, env);
    if (!verdict.allowed) {
      log("refused", request, host, env, verdict, { status: 403 });
      return refusal(host, verdict.rule);
    }

    const forwarded = new Request(request, { redirect: "manual" });
    for (const { name, hosts, from } of rules.headers) {
      if (!hosts.some((pattern) => fits(pattern, host))) continue;
      // What a script set under this name never arrives. Ours goes by https only: a script may ask for http, and
      // would send the secret in clear text.
      forwarded.headers.delete(name);
      if (url.protocol === "https:" && env[from] !== undefined) forwarded.headers.set(name, env[from]);
    }

    // A redirect goes back to the user Worker's runtime. It follows in the way the script asked for (follow, manual,
    // error), and each hop comes through here again as a request of its own: an allowed host cannot lead to a
    // refused one, nor carry our headers there.
    try {
      const response = await fetch(forwarded);
      log("allowed", request, host, env, verdict, { status: response.status });
      return response;
    } catch (error) {
      log("failed", request, host, env, verdict, { error: String(error?.message ?? error) });
      throw error;
    }
  },
};

/** Denies of all layers add up and win; of allows, those of the most specific layer that states any. */
function decide(host, { customer, tier }) {
  // Invoked without the dispatcher, nobody said who is calling: then no rule can be trusted to be the right one. A
  // platform without tiers says "".
  if (!customer || tier === undefined) return { allowed: false, rule: "the customer is not known" };
  const layers = [
    [`customer ${customer}`, own(rules.customers, customer)],
    [`tier ${tier}`, own(rules.tiers, tier)],
    ["the platform", rules.platform],
  ];
  for (const [whose, layer] of layers) {
    const denied = layer.deny?.find((pattern) => fits(pattern, host));
    if (denied) return { allowed: false, rule: `deny "${denied}" of ${whose}` };
  }
  const [whose, { allow }] = layers.find(([, layer]) => layer.allow);
  const allowed = allow.find((pattern) => fits(pattern, host));
  return allowed
    ? { allowed: true, rule: `allow "${allowed}" of ${whose}` }
    : { allowed: false, rule: `not in allow of ${whose}` };
}

const own = (layers, name) => (Object.hasOwn(layers, name) ? layers[name] : {});

/** "*.example.com" stands for every host below example.com, and not for example.com itself. */
function fits(pattern, host) {
  if (pattern.startsWith("*.")) return host.endsWith(pattern.slice(1));
  return pattern === "*" || pattern === host;
}

function refusal(host, rule) {
  const detail = `A fetch from ${host} is refused: ${rule}.`;
  const problem = { type: "about:blank", title: "Egress refused", status: 403, detail, host, rule };
  return new Response(JSON.stringify(problem), {
    status: 403,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store" },
  });
}

/** One JSON line. Paths and queries are left out: they hold other people's tokens. */
function log(egress, request, host, { customer, tier, script, trace }, { rule }, outcome) {
  if (rules.log === "none" || (rules.log === "refused" && egress !== "refused")) return;
  const { method } = request;
  console.log(JSON.stringify({ egress, customer, tier, script, trace, method, host, rule, ...outcome }));
}
