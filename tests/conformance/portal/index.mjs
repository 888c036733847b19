// A customer portal as platforms write them by hand: customers in D1, their scripts uploaded, tagged and listed through
// Cloudflare's API, and dispatched with the limits that the database holds. What it stands for is an application whose
// authors never heard of the embedded platform.
import { Hono } from "hono";

const API = "https://api.cloudflare.com/client/v4";
const PLATFORM_MODULE = "export const provided = (text) => `${text}, with what the platform provides`;\n";
const ESM = "application/javascript+module";

const app = new Hono();

app.get("/init", async (context) => {
  await context.env.DB.batch([
    context.env.DB.prepare("CREATE TABLE customers (id TEXT PRIMARY KEY, token TEXT NOT NULL, cpu_ms INTEGER NOT NULL)"),
    context.env.DB.prepare("INSERT INTO customers VALUES ('acme', 'token-acme', 50), ('globex', 'token-globex', 50)"),
  ]);
  return context.redirect("/");
});

app.get("/", async (context) => {
  const { results } = await context.env.DB.prepare("SELECT id, cpu_ms FROM customers ORDER BY id").all();
  const scripts = await call(context.env, "GET", "/scripts").then((reply) => reply.json());
  const rows = results.map(({ id, cpu_ms }) => `<tr><td>${id}</td><td>${cpu_ms}</td></tr>`).join("");
  return context.html(`<table>${rows}</table><p>${scripts.result.map(({ id }) => id).join(", ")}</p>`);
});

app.use("/script/*", async (context, next) => {
  const token = context.req.header("x-customer-token") ?? "";
  const found = await context.env.DB.prepare("SELECT * FROM customers WHERE token = ?").bind(token).first();
  if (!found) return context.text("who are you?", 401);
  context.set("customer", found);
  await next();
});

app.get("/script/all", async (context) => {
  const reply = await call(context.env, "GET", `/scripts?tags=${context.get("customer").id}:yes`);
  const { result } = await reply.json();
  return context.json(result.map(({ id }) => id));
});

app.put("/script/:name", async (context) => {
  const { id } = context.get("customer");
  const path = `/scripts/${context.req.param("name")}`;
  const tags = await call(context.env, "GET", `${path}/tags`);
  if (tags.ok && !(await tags.json()).result.includes(id)) return context.text("taken by another customer", 409);
  const form = new FormData();
  form.append("metadata", new File([JSON.stringify({ main_module: "main.mjs" })], "metadata", { type: "application/json" }));
  form.append("script", new File([await context.req.text()], "main.mjs", { type: ESM }));
  form.append("platform", new File([PLATFORM_MODULE], "platform_module.mjs", { type: ESM }));
  const uploaded = await call(context.env, "PUT", path, form);
  if (!uploaded.ok) return context.json(await uploaded.json(), 400);
  await call(context.env, "PUT", `${path}/tags`, JSON.stringify([id]));
  return context.text("uploaded", 201);
});

app.delete("/script/:name", async (context) => {
  const reply = await call(context.env, "DELETE", `/scripts/${context.req.param("name")}`);
  return context.text("", reply.ok ? 204 : 404);
});

app.get("/dispatch/:name", async (context) => {
  const { cpu_ms } = await context.env.DB.prepare("SELECT min(cpu_ms) AS cpu_ms FROM customers").first();
  try {
    const script = context.env.DISPATCHER.get(context.req.param("name"), {}, { limits: { cpuMs: cpu_ms, subRequests: 5 } });
    return await script.fetch(context.req.raw);
  } catch (error) {
    if (error.message.startsWith("Worker not found")) return context.text("no such script", 404);
    return context.text(error.message, 500);
  }
});

function call(env, method, path, body) {
  const namespace = `${API}/accounts/${env.ACCOUNT}/workers/dispatch/namespaces/${env.NAMESPACE}`;
  return fetch(namespace + path, { method, body, headers: { authorization: `Bearer ${env.API_TOKEN}` } });
}

export default app;
