// A dispatch namespace as the dispatcher sees it: get() is synchronous, and what goes wrong is thrown by fetch().
export default ({ users, via }) => ({
  get(name, args, options = {}) {
    return {
      async fetch(input, init) {
        const request = new Request(input, init);
        const headers = new Headers(request.headers);
        headers.set("stub-call", JSON.stringify({ name, args, options, via }));
        const response = await users.fetch(new Request(request, { headers }));
        if (response.headers.has("stub-throw")) throw new Error(response.headers.get("stub-throw"));
        return response;
      },
    };
  },
});
