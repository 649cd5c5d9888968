// What every page does: times in the reader's zone, the theme, dialogs, copying, and the guard around htmx.
"use strict";

const root = document.documentElement;
const told = (name) => document.querySelector(`meta[name="perdure-${name}"]`)?.content ?? "";
const keep = (name, value) => { try { localStorage.setItem(`perdure.${name}`, value); } catch { /* not kept */ } };

// -- the guard ------------------------------------------------------------------------------------------------------
// An element asks the server for something only if it carries the mark that this server's templates gave it. Text of
// a model that ever got into a page as HTML could carry any attribute of htmx, but not the mark.

const mark = told("mark");
const token = told("csrf");
document.querySelectorAll('meta[name="perdure-mark"], meta[name="perdure-csrf"]').forEach((m) => m.remove());

document.addEventListener("htmx:configRequest", (event) => {
  if (!mark || event.detail.elt.getAttribute("data-mark") !== mark) {
    event.preventDefault();
    return;
  }
  event.detail.headers["X-CSRF-Token"] = token;
});
document.addEventListener("htmx:sseBeforeMessage", (event) => event.preventDefault()); // events only say: look again

// What cannot be fetched is said, once, and what is on the page stays.
for (const name of ["htmx:sendError", "htmx:responseError"]) {
  document.addEventListener(name, (event) => {
    const status = event.detail.xhr?.status;
    toast(status === 401 ? "You are signed out. Reload the page to sign in." : status
      ? `The server answered ${status}. What is shown may be old; reload the page.`
      : "The server cannot be reached. What is shown may be old; it is tried again.");
  });
}
document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) hideToast(); });

const box = () => document.getElementById("toast");
function toast(text) {
  const it = box();
  it.textContent = text;
  it.hidden = false;
}
function hideToast() { const it = box(); if (it && !it.dataset.keep) it.hidden = true; }

// -- times ----------------------------------------------------------------------------------------------------------

const utc = () => root.dataset.utc === "yes";
const two = (n) => String(n).padStart(2, "0");

function moment(date) {
  const g = utc() ? "getUTC" : "get";
  const day = `${date[`${g}FullYear`]()}-${two(date[`${g}Month`]() + 1)}-${two(date[`${g}Date`]())}`;
  return `${day} ${two(date[`${g}Hours`]())}:${two(date[`${g}Minutes`]())}:${two(date[`${g}Seconds`]())}${utc() ? " UTC" : ""}`;
}

function short(seconds) {
  if (seconds < 120) return `${Math.round(seconds)}s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)}m`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)}h` : `${Math.round(seconds / 86400)}d`;
}

function times(within) {
  for (const one of within.querySelectorAll("time[datetime]")) {
    const date = new Date(one.dateTime);
    const full = moment(date);
    if (one.dataset.as === "ago") {
      const past = (Date.now() + skew - date) / 1000;
      one.textContent = past < 0 ? `in ${short(-past)}` : past < 1 ? "just now" : `${short(past)} ago`;
      one.title = full;
      if (one.dataset.late !== undefined) one.classList.toggle("bad", past > 0);
    } else if (one.dataset.as === "clock") {
      one.textContent = full.slice(11);
      one.title = full;
    } else {
      one.textContent = full;
    }
  }
}

const apart = told("now") ? Number(told("now")) - Date.now() : 0;
const skew = Math.abs(apart) > 60000 ? apart : 0; // by the store's clock, where the reader's is minutes off
setInterval(() => times(document), 10000);

function zone(to) {
  root.dataset.utc = to ? "yes" : "no";
  keep("utc", to ? "yes" : "no");
  const it = document.getElementById("zone");
  if (it) it.textContent = to ? "UTC" : "Local";
  times(document);
}

// -- what a click does, by `data-do` ---------------------------------------------------------------------------------

const deeds = {
  theme() {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    keep("theme", root.dataset.theme);
  },
  zone() { zone(!utc()); },
  copy(it) { navigator.clipboard?.writeText(it.dataset.text).then(() => { it.dataset.done = "yes"; setTimeout(() => delete it.dataset.done, 1200); }); },
  open(it) { document.getElementById(it.dataset.target)?.showModal(); },
  close(it) { it.closest("dialog")?.close(); },
  all(it) {
    for (const one of document.querySelectorAll(`input[name="${it.dataset.name}"]`)) one.checked = it.checked;
    counted();
  },
};

document.addEventListener("click", (event) => {
  const it = event.target.closest("[data-do]");
  if (it && deeds[it.dataset.do]) {
    deeds[it.dataset.do](it);
    return;
  }
  if (event.target.closest("a, button, input, select, textarea, label, summary, dialog")) {
    if (event.target.nodeName === "DIALOG") event.target.close(); // its backdrop
    return;
  }
  const row = event.target.closest("tr[data-row]");
  if (row && !String(getSelection())) row.querySelector("a[data-open]")?.click();
});

function counted() {
  for (const it of document.querySelectorAll("[data-counts]")) {
    const n = document.querySelectorAll(`input[name="${it.dataset.counts}"]:checked`).length;
    it.hidden = n === 0;
    const word = it.querySelector("[data-number]");
    if (word) word.textContent = n;
  }
}
document.addEventListener("change", (event) => {
  counted();
  const form = event.target.form;
  if (form?.dataset.onchange === "submit" && event.target.dataset.wait === undefined) form.requestSubmit();
});

document.addEventListener("htmx:afterSwap", (event) => { times(event.detail.elt.parentElement ?? document); counted(); });
document.addEventListener("DOMContentLoaded", () => { zone(utc()); counted(); });
