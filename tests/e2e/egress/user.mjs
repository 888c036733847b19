// A user Worker that fetches what it is asked to: POST {url, init} -> what it got.
export default {
  async fetch(request) {
    const { url, init } = await request.json();
    try {
      const response = await fetch(url, init);
      const headers = Object.fromEntries(response.headers);
      return Response.json({ status: response.status, url: response.url, headers, body: await response.text() });
    } catch (error) {
      return Response.json({ error: error.message });
    }
  },
};
