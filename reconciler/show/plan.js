// Search, filter and fold. The page is whole without it.
"use strict";
(() => {
  const changes = [...document.querySelectorAll(".change")].map((element) => ({
    element,
    text: element.dataset.text,
    action: element.dataset.action,
    count: Number(element.dataset.count),
    group: element.closest(".group"),
  }));
  const groups = [...document.querySelectorAll(".group")];
  const openAtFirst = new Set(groups.filter((group) => group.open));
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const actions = [...document.querySelectorAll("button[data-action]")];

  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(actions.filter((one) => one.ariaPressed === "true").map((one) => one.dataset.action));
    const visible = new Set();
    let count = 0;
    for (const change of changes) {
      const matches = wanted.has(change.action) && words.every((word) => change.text.includes(word));
      change.element.hidden = !matches;
      if (matches) {
        visible.add(change.group);
        count += change.count;
      }
    }
    for (const group of groups) {
      group.hidden = !visible.has(group);
      group.open = words.length ? visible.has(group) : openAtFirst.has(group);
    }
    const filtered = words.length || wanted.size < actions.length;
    found.textContent = filtered ? `${count.toLocaleString("en")} ${count === 1 ? "change" : "changes"}` : "";
  };

  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target) return;
    if (target.hidden) {
      search.value = "";
      for (const one of actions) one.ariaPressed = "true";
      show();
    }
    for (let element = target; element; element = element.parentElement) {
      if (element.localName === "details") element.open = true;
    }
    target.scrollIntoView();
  };

  if (!search) return;
  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 80);
  });
  search.form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of actions) {
    button.addEventListener("click", () => {
      button.ariaPressed = String(button.ariaPressed !== "true");
      show();
    });
  }
  const fold = document.getElementById("fold");
  fold.addEventListener("click", () => {
    const open = fold.textContent === "unfold";
    for (const group of groups) if (!group.hidden && open) group.open = true;
    for (const change of changes) if (!change.element.hidden) change.element.open = open;
    fold.textContent = open ? "fold" : "unfold";
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) {
      event.preventDefault();
      search.focus();
    }
    if (event.key === "Escape" && document.activeElement === search && search.value) {
      search.value = "";
      show();
    }
  });
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();
})();
