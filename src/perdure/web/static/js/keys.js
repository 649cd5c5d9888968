// The keyboard: j and k through rows, Enter, Esc, /, ?, Ctrl-K, and g with a letter. No key approves anything.
"use strict";

const typing = (it) => it.matches?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
const rows = () => [...document.querySelectorAll("tr[data-row], [data-row]:not(tr)")].filter((it) => it.offsetParent);
const chosen = () => document.querySelector('[data-row][aria-selected="true"]');
let going = false;

function choose(row) {
  if (!row) return;
  chosen()?.removeAttribute("aria-selected");
  row.setAttribute("aria-selected", "true");
  row.scrollIntoView({ block: "nearest" });
  row.querySelector("a[data-open]")?.focus({ preventScroll: true });
}

function move(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(chosen());
  choose(all[Math.min(Math.max(at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by, 0), all.length - 1)]);
}

// -- the palette ------------------------------------------------------------------------------------------------------

const palette = () => document.getElementById("palette");

function listed() {
  const found = [...document.querySelectorAll("#palette template")].flatMap((it) => JSON.parse(it.dataset.entries));
  for (const link of document.querySelectorAll("[data-row] a[data-open]")) {
    found.push({ title: link.textContent.trim(), href: link.href, kind: "on this page" });
  }
  return found;
}

function filter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const list = document.getElementById("palette-list");
  const found = listed().filter((one) => words.every((w) => `${one.title} ${one.kind}`.toLowerCase().includes(w)));
  const id = text.trim();
  if (/^[\w.:@~-]{3,200}$/.test(id)) {
    const base = document.querySelector('meta[name="perdure-root"]').content;
    found.push({ title: `Open run ${id}`, href: `${base}/runs/${encodeURIComponent(id)}`, kind: "run by its id" });
  }
  list.replaceChildren(...found.slice(0, 40).map((one, i) => {
    const li = document.createElement("li");
    li.setAttribute("role", "option");
    li.id = `palette-${i}`;
    li.setAttribute("aria-selected", String(i === 0));
    li.dataset.href = one.href ?? "";
    li.dataset.deed = one.deed ?? "";
    const kind = document.createElement("span");
    kind.className = "after";
    kind.textContent = one.kind;
    li.append(one.title, kind);
    return li;
  }));
  pointed();
}

const at = () => document.querySelector('#palette-list [aria-selected="true"]');
function pointed() { document.querySelector("#palette input").setAttribute("aria-activedescendant", at()?.id ?? ""); }

function take(li) {
  if (!li) return;
  palette().close();
  if (li.dataset.deed) deeds[li.dataset.deed]?.(li);
  else if (li.dataset.href) location.assign(li.dataset.href);
}

function openPalette() {
  const it = palette();
  if (!it || it.open) return;
  it.showModal();
  const input = it.querySelector("input");
  input.value = "";
  filter("");
  input.focus();
}
deeds.palette = openPalette;

document.addEventListener("input", (event) => { if (event.target.closest("#palette")) filter(event.target.value); });
document.addEventListener("click", (event) => take(event.target.closest("#palette-list li")));

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
    return;
  }
  if (palette()?.open) {
    const by = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (by && at()?.[by]) {
      const next = at()[by];
      at().setAttribute("aria-selected", "false");
      next.setAttribute("aria-selected", "true");
      next.scrollIntoView({ block: "nearest" });
      pointed();
      event.preventDefault();
    } else if (event.key === "Enter") {
      event.preventDefault();
      take(at());
    }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") {
    if (typing(event.target)) event.target.blur();
    else if (chosen()) chosen().removeAttribute("aria-selected");
    document.querySelector("[data-escape]")?.click();
    return;
  }
  if (typing(event.target)) return;
  if (going) {
    going = false;
    document.querySelector(`.rooms a[data-key="${CSS.escape(event.key)}"]`)?.click();
    return;
  }
  switch (event.key) {
    case "j": move(1); break;
    case "k": move(-1); break;
    case "g": going = true; setTimeout(() => { going = false; }, 1200); break;
    case "/": {
      const field = document.querySelector("[data-search]");
      if (!field) return;
      field.focus();
      field.select?.();
      event.preventDefault();
      break;
    }
    case "?": document.getElementById("keys")?.showModal(); break;
    case "Enter":
      if (event.target.closest("a, button, summary")) return;
      chosen()?.querySelector("a[data-open]")?.click();
      break;
    default:
  }
});
