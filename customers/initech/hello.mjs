import { platform } from "./platform_module.mjs";

export default {
  async fetch(request, env) {
    return new Response(`Hello from a script on ${env.PLATFORM_NAME}!\n${platform.provides}\n`);
  },
};
