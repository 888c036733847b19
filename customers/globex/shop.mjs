import { escape, page } from "./platform_module.mjs";

const GOODS = { hammock: 49, "doomsday device": 1999 };

export default {
  async fetch(request, env) {
    const { hostname } = new URL(request.url);
    const rows = Object.entries(GOODS).map(([name, price]) => `<li>${escape(name)}: ${price} ${escape(env.CURRENCY)}</li>`);
    return page("Globex shop", `<p>You came by ${escape(hostname)}.</p><ul>${rows.join("")}</ul>`);
  },
};
