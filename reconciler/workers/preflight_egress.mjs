// The outbound Worker of a preflight: a script that is only tried reaches nothing.
export default {
  fetch: ({ url }) => new Response(`the preflight lets no request out, and ${url} was asked for\n`, { status: 403 }),
};
