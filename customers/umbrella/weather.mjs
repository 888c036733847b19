import { json } from "./platform_module.mjs";

// Every fetch of this script passes Acme's outbound Worker. Try ?host=evil.example.net
export default {
  async fetch(request) {
    const host = new URL(request.url).searchParams.get("host") ?? "api.acme.internal";
    const answer = await fetch(`https://${host}/`);
    return json({ asked: host, status: answer.status, answer: (await answer.text()).slice(0, 500) });
  },
};
