import { platform } from "./platform_module.mjs";

export default {
  async fetch(request) {
    return new Response(`Hello from ${new URL(request.url).pathname} on ${platform.name}!\n`);
  },
};
