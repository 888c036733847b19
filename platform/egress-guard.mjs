// The outbound Worker: every fetch() of a customer's script arrives here before it leaves for the internet.
// The dispatcher says whose it is (env.customer, env.tier); platform.yaml says where it may go (env.ALLOWED_HOSTS).

export default {
  async fetch(request, env) {
    const host = new URL(request.url).hostname;
    const allowed = [...(env.ALLOWED_HOSTS["*"] ?? []), ...(env.ALLOWED_HOSTS[env.customer] ?? [])];

    if (!allowed.includes(host)) {
      const error = `${host} is not a host that ${env.customer} may reach`;
      return Response.json({ error, customer: env.customer, tier: env.tier }, { status: 403 });
    }
    if (host === "api.acme.internal") {
      // Acme's own API knows the caller by the dispatcher's word, so that scripts need no credentials for it.
      return Response.json({ customer: env.customer, tier: env.tier });
    }
    return fetch(request);
  },
};
