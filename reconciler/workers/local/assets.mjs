// Static assets: which file answers a path, by the rules of html_handling, not_found_handling, _redirects and _headers.

const CACHE_CONTROL = "public, max-age=0, must-revalidate";
const REDIRECT = 307; // between the spellings of one page
const rules = new WeakMap(); // assets -> { redirects, headers }, parsed once

/**
 * The file for a request; null when none is found and the code of the Worker is to answer.
 * With `beforeCode` a path without a file is left to the code, but for a browser's navigation where the compatibility
 * date prefers the page for it.
 */
export async function serveAsset(request, assets, env, { beforeCode = false } = {}) {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return beforeCode ? null : new Response("Method Not Allowed", { status: 405 });
  }
  const url = new URL(request.url);
  const { redirects, headers } = rulesOf(assets);
  const redirect = redirects.map((rule) => apply(rule, url)).find(Boolean);
  if (redirect && redirect.status !== 200) return redirected(redirect, url);
  const path = decoded(redirect ? redirect.target : url.pathname);

  const found = resolve(path, assets) ?? notFound(path, assets, request, beforeCode);
  if (found === null) return null;
  if (found.redirect) return redirected({ status: REDIRECT, target: encodeURI(found.redirect) + url.search }, url);
  return file(request, found, env, headers.filter(({ expression }) => expression.test(path)));
}

function notFound(path, assets, request, beforeCode) {
  const navigates = request.headers.get("sec-fetch-mode") === "navigate";
  if (beforeCode && !(assets.navigation && navigates)) return null;
  if (assets.notFoundHandling === "single-page-application") return existing(assets, "/index.html", 200);
  if (assets.notFoundHandling !== "404-page") return null;
  for (let folder = path; folder !== ""; ) {
    folder = folder.slice(0, folder.lastIndexOf("/"));
    const page = existing(assets, `${folder}/404.html`, 404);
    if (page) return page;
  }
  return null;
}

function existing(assets, path, status = 200) {
  const entry = assets.files[path];
  return entry ? { path, hash: entry, status } : null;
}

// Each spelling of a page's address and what it does: [file to look for, address that should be used for it].
const HTML_HANDLING = {
  "none": () => [],
  "auto-trailing-slash": (path, page) =>
    path.endsWith("/")
      ? [[`${page}/index.html`, `${page}/`], [`${page}.html`, page]]
      : [[`${page}.html`, page], [`${page}/index.html`, `${page}/`]],
  "force-trailing-slash": (_path, page) => [[`${page}/index.html`, `${page}/`], [`${page}.html`, `${page}/`]],
  "drop-trailing-slash": (_path, page) => [[`${page}.html`, page || "/"], [`${page}/index.html`, page || "/"]],
};

function resolve(path, assets) {
  const handling = HTML_HANDLING[assets.htmlHandling];
  const page = path.replace(/\/index\.html$|\/index$|\.html$|\/$/, "");
  const exact = existing(assets, path);
  if (exact && (!path.endsWith(".html") || handling === HTML_HANDLING.none)) return exact;
  const spelled = /\/index(\.html)?$/.test(path) ? `${page}/` : path;
  for (const [name, address] of handling(spelled, page)) {
    const entry = existing(assets, name);
    if (entry) return address === path ? entry : { redirect: address };
  }
  return exact;
}

async function file(request, { path, hash, status }, env, rules) {
  const etag = `"${hash}"`;
  const stored = await env.CONTROL.fetch(`http://control/asset?${new URLSearchParams({ hash, path })}`);
  if (!stored.ok) return new Response(`The bytes of ${path} are missing from the local account.\n`, { status: 500 });
  const headers = new Headers({ "etag": etag, "cache-control": CACHE_CONTROL });
  headers.set("content-type", stored.headers.get("content-type"));
  for (const { set, unset } of rules) {
    for (const name of unset) headers.delete(name);
    for (const [name, value] of set) headers.set(name, value);
  }
  const known = (request.headers.get("if-none-match") ?? "").split(",").map((one) => one.trim().replace(/^W\//, ""));
  if (status === 200 && known.includes(etag)) return new Response(null, { status: 304, headers });
  return new Response(request.method === "HEAD" ? null : stored.body, { status, headers });
}

function redirected({ status, target }, url) {
  const location = new URL(target, url);
  const place = location.origin === url.origin ? location.pathname + location.search + location.hash : location.href;
  return new Response(null, { status, headers: { location: place } });
}

function rulesOf(assets) {
  if (!rules.has(assets)) {
    rules.set(assets, { redirects: readRedirects(assets.redirects), headers: readHeaders(assets.headers) });
  }
  return rules.get(assets);
}

const linesOf = (text) => text.split(/\r?\n/).filter((line) => line.trim() !== "" && !line.trim().startsWith("#"));

// `/from/* /to/:splat 301`
function readRedirects(text) {
  return linesOf(text).map((line) => {
    const [from, target, status = "302"] = line.trim().split(/\s+/);
    return { expression: expressionOf(from), target, status: Number(status) };
  });
}

// A pattern on a line of its own, and below it, indented, `Name: value` to set and `! Name` to take away.
function readHeaders(text) {
  const found = [];
  for (const line of linesOf(text)) {
    if (!/^\s/.test(line)) found.push({ expression: expressionOf(line.trim()), set: [], unset: [] });
    else if (line.trim().startsWith("!")) found.at(-1)?.unset.push(line.trim().slice(1).trim());
    else found.at(-1)?.set.push(split(line.trim()));
  }
  return found;
}

function split(line) {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
}

function expressionOf(pattern) {
  const path = pattern.replace(/^https?:\/\/[^/]+/, "");
  const escaped = path.replace(/[.+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", "(?<splat>.*)").replace(/:(\w+)/g, "(?<$1>[^/]+)")}$`);
}

function apply({ expression, target, status }, url) {
  const match = expression.exec(url.pathname);
  if (!match) return null;
  const filled = target.replace(/:(\w+)/g, (whole, name) => match.groups?.[name] ?? whole);
  return { status, target: filled };
}

function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
