// Asks the outbound Worker about many hosts in one go, each for its own customer and tier.
import egress from "./egress.mjs";

export default {
  async fetch(request) {
    const verdicts = [];
    for (const { host, customer, tier } of await request.json()) {
      const response = await egress.fetch(new Request(`https://${host}/`), { customer, tier });
      const answer = await response.json();
      verdicts.push(response.status === 403 ? answer.rule : null);
    }
    return Response.json(verdicts);
  },
};
