// Keeps an open page current: entries come in as they happen, parts marked data-live are loaded again after a save.
// Everything works without it; text from elsewhere is only ever set as text.
"use strict";

const shape = document.getElementById("entry");
const offline = document.getElementById("offline");
const SLOTS = ["time", "head", "script", "text", "tail"];

/** One entry as the server would have written it. */
function row(entry) {
  const item = shape.content.firstElementChild.cloneNode(true);
  item.className = [entry.kind, entry.role, entry.platform ? "platform" : "", "fresh"].filter(Boolean).join(" ");
  item.dataset.number = entry.number;
  for (const slot of SLOTS) item.querySelector(`[data-slot=${slot}]`).textContent = entry[slot];
  if (entry.script) item.querySelector("[data-slot=script]").href = `/scripts/${encodeURIComponent(entry.script)}`;
  return item;
}

function show(entry) {
  for (const list of document.querySelectorAll("[data-stream]")) {
    if (list.dataset.script && list.dataset.script !== entry.script) continue;
    if (list.querySelector(`[data-number="${entry.number}"]`)) continue;
    list.prepend(row(entry));
    while (list.children.length > Number(list.dataset.most)) list.lastElementChild.remove();
  }
}

/** Replace the parts of this page that are alive by what the server shows now. */
async function refresh() {
  const reply = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!reply.ok) return;
  const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const found = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (!found || part.contains(document.activeElement) || found.isEqualNode(part)) continue;
    part.replaceWith(document.adoptNode(found));
  }
}

let waiting = 0;
function refreshSoon() {
  clearTimeout(waiting);
  waiting = setTimeout(() => refresh().catch(() => {}), 60);
}

const stream = new EventSource(`/events?after=${document.body.dataset.last}`);
stream.onopen = () => {
  if (!offline.hidden) refreshSoon();
  offline.hidden = true;
};
stream.onerror = () => (offline.hidden = false);
stream.onmessage = ({ data }) => {
  const entry = JSON.parse(data);
  show(entry);
  if (entry.kind === "round") refreshSoon();
};
addEventListener("pagehide", () => stream.close());

// A form marked data-swap shows its answer in place.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  const place = form.dataset.swap && document.getElementById(form.dataset.swap);
  if (!place) return;
  event.preventDefault();
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  try {
    const reply = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const text = await reply.text();
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById(form.dataset.swap);
    place.replaceChildren(...(fresh ? fresh.childNodes : [document.createTextNode(text)]));
  } catch {
    offline.hidden = false;
  } finally {
    button.disabled = false;
  }
});

// A search shows what it finds while one types; its address can be kept.
for (const form of document.querySelectorAll("[data-search]")) {
  form.addEventListener("input", () => {
    const asked = [...new FormData(form)].filter(([, value]) => value);
    history.replaceState(null, "", asked.length ? `/?${new URLSearchParams(asked)}` : "/");
    refreshSoon();
  });
}

// "/" goes to the search.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, textarea, select")) return;
  const search = document.querySelector("[data-search] [type=search]");
  if (search) event.preventDefault();
  search?.focus();
});

// Ctrl-Enter sends the form that one types in.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form?.requestSubmit();
});

// Fields that matter for one choice only.
for (const part of document.querySelectorAll("[data-when]")) {
  const choice = document.getElementById(part.dataset.when);
  const update = () => (part.hidden = choice.value !== part.dataset.is);
  choice.addEventListener("change", update);
  update();
}

const platformToo = document.getElementById("platform-too");
platformToo?.addEventListener("change", () => document.body.classList.toggle("platform-too", platformToo.checked));
