// Pages that keep themselves up to date: [data-live] asks its address every few seconds and takes over what changed.
// Each part has an id. A part that says the same stays as it is, and the focus, a selection or an opened menu is kept.
// A part with [data-live-end] says that nothing changes any more.
import { find, findAll, parse } from "./dom.js";

const EVERY = 4000;
const RAREST = 30_000;
// By this header the server knows that asking is nobody's act: it does not keep a session alive.
const HEADERS = { "X-Partial": "status" };

const sleep = (time) => new Promise((wake) => setTimeout(wake, time));

export function init(scope) {
  findAll("[data-live]", scope).forEach(watch);
}

function seen() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((wake) => {
    document.addEventListener("visibilitychange", wake, { once: true });
  }).then(seen);
}

async function watch(box) {
  let wait = EVERY;
  for (;;) {
    await sleep(wait);
    await seen();
    if (!box.isConnected) return;
    if (find("[data-live-end]", box)) return;
    if (isBusy(box)) continue;
    wait = (await refresh(box)) ? EVERY : Math.min(wait * 2, RAREST);
  }
}

/** Whether somebody is in the middle of something here. */
function isBusy(box) {
  const selection = getSelection();
  const reads = selection && !selection.isCollapsed && box.contains(selection.anchorNode);
  return reads || find("dialog[open]") !== null || find("[data-locked]", box) !== null;
}

async function refresh(box) {
  let html;
  try {
    const response = await fetch(box.dataset.live, { headers: HEADERS, credentials: "same-origin" });
    if (response.status === 401) location.reload();
    if (!response.ok) return stale(box, true);
    html = await response.text();
  } catch {
    return stale(box, true);
  }
  if (!isBusy(box)) take(box, parse(html).body);
  return stale(box, false);
}

function take(box, fresh) {
  const focused = box.contains(document.activeElement) ? document.activeElement.id : "";
  const opened = new Set(findAll("details[open][id]", box).map((each) => each.id));
  for (const part of [...fresh.children]) {
    const old = part.id && find(`#${CSS.escape(part.id)}`, box);
    if (!old) return box.replaceChildren(...fresh.childNodes);
    for (const each of findAll("details[id]", part)) each.open = opened.has(each.id);
    if (old.outerHTML !== part.outerHTML) old.replaceWith(part);
  }
  if (focused && document.activeElement?.id !== focused) {
    find(`#${CSS.escape(focused)}`, box)?.focus({ preventScroll: true });
  }
  return undefined;
}

/** Say beside the page that it shows an older state; answers whether all is well. */
function stale(box, is) {
  const note = find("[data-live-stale]");
  if (note) note.hidden = !is;
  return !is;
}
