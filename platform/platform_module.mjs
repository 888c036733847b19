// What Acme gives to every script that runs on its platform:
//   import { platform, page, json } from "./platform_module.mjs";

export const platform = {
  provides: "This text comes from the platform module, which Acme uploads beside your code.",
  version: 1,
};

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

export function escape(text) {
  return String(text).replace(/[&<>"]/g, (character) => ESCAPES[character]);
}

/** A whole HTML page around a body that is HTML already. */
export function page(title, body) {
  const html = `<!doctype html><meta charset="utf-8"><title>${escape(title)}</title><h1>${escape(title)}</h1>${body}\n`;
  return new Response(html, { headers: { "content-type": "text/html; charset=utf-8" } });
}

export function json(value, status = 200) {
  return Response.json(value, { status, headers: { "x-acme-platform": String(platform.version) } });
}
