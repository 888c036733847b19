export default {
  async fetch(request, env) {
    return new Response(`Hello from ${new URL(request.url).pathname}!\n`);
  },
};
