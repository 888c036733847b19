const settings = undefined;

const { name } = settings;
export default { fetch: () => new Response(name) };
