import { json } from "./platform_module.mjs";

export default {
  async fetch(request, env) {
    const asked = new URL(request.url).searchParams.get("service");
    const services = env.SERVICES.filter((name) => asked === null || name === asked);
    if (services.length === 0) {
      return json({ error: `unknown service ${asked}`, known: env.SERVICES }, 404);
    }
    return json(Object.fromEntries(services.map((name) => [name, name === "printers" ? "PC LOAD LETTER" : "up"])));
  },
};
