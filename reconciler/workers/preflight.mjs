// Asks a script one request for `reconciler validate --preflight`, and tells what it answered as JSON.
const LARGEST = 1 << 20; // bytes of an answer that are looked at

export default {
  async fetch(request, env) {
    const { script, url, method, headers, body } = await request.json();
    try {
      // With an outbound Worker, even one that is told nothing, no fetch and no connect() of the script leaves.
      const worker = env.DISPATCH.get(script, {}, { outbound: {} });
      const asked = new Request(url, { method, headers, body, redirect: "manual" });
      const answer = await worker.fetch(asked);
      return Response.json({ status: answer.status, headers: [...answer.headers], body: await text(answer) });
    } catch (error) {
      return Response.json({ exception: String(error?.message ?? error) });
    }
  },
};

async function text(answer) {
  const decoder = new TextDecoder();
  let told = "";
  for await (const bytes of answer.body ?? []) {
    told += decoder.decode(bytes, { stream: true });
    if (told.length > LARGEST) return told.slice(0, LARGEST);
  }
  return told + decoder.decode();
}
