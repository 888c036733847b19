// Workers KV as workerd speaks it to a kvNamespace binding: GET /<key>, 404 for what is not there.
export default {
  fetch(request, env) {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
    if (!Object.hasOwn(env.VALUES, key)) return new Response("no such key", { status: 404 });
    console.log(`kv ${key}`);
    return new Response(env.VALUES[key]);
  },
};
