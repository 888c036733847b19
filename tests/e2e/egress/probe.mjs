// Asks the outbound Worker about many hosts in one go, each for its own customer and tier.
import egress from "./egress.mjs";

export default {
  async fetch(request) {
    const answers = [];
    for (const { host, customer, tier } of await request.json()) {
      const asked = new Request(`https://${host}/`, { headers: { "x-script": "forged" } });
      const response = await egress.fetch(asked, { customer, tier });
      answers.push(await response.json());
    }
    return Response.json(answers);
  },
};
