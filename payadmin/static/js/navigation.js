// List pages change without a page load: links and forms swap #list, the address and the back button keep working.
import { announce, find, parse, wantsNewTab } from "./dom.js";
import { initParts } from "./parts.js";
import { initList } from "./selection.js";
import { toastMessages } from "./toasts.js";

const SEARCH_PAUSE = 300;

let running = null;
let pause = null;
let shown = placeOf(location);

/** Show `url` in place of the list; `focus` is a selector of what gets the focus in the new one. */
export async function navigate(url, { push = true, focus = null } = {}) {
  const list = find("#list");
  if (!list) return location.assign(url);
  running?.abort();
  running = new AbortController();
  list.setAttribute("aria-busy", "true");
  let page;
  try {
    page = await load(url, running.signal);
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    page = null;
  }
  const fresh = page?.getElementById("list");
  if (!fresh) return location.assign(url);
  swap(list, fresh, focus);
  find("#messages")?.replaceWith(page.getElementById("messages") ?? "");
  toastMessages(document);
  if (push) history.pushState({}, "", url);
  shown = placeOf(location);
  const count = find("[data-announce], .tfoot .num", fresh);
  if (count) announce(count.textContent.trim());
  return undefined;
}

async function load(url, signal) {
  const response = await fetch(url, { headers: { "X-Partial": "list" }, signal, credentials: "same-origin" });
  const moved = response.redirected && new URL(response.url).pathname !== new URL(url, location.href).pathname;
  return response.ok && !moved ? parse(await response.text()) : null;
}

function swap(list, fresh, focus) {
  const active = document.activeElement;
  const wanted = focus ?? (active?.id && list.contains(active) ? `#${CSS.escape(active.id)}` : null);
  const caret = active?.matches("input") ? active.selectionStart : null;
  const typed = wanted && active?.matches("input[type=search]") ? active.value : null;
  list.replaceWith(fresh);
  initList(fresh);
  initParts(fresh);
  const target = wanted && (find(wanted, fresh) ?? find("#q", fresh));
  if (!target) return;
  target.focus({ preventScroll: true });
  // What was typed while the answer was on its way stays.
  if (typed !== null && target.matches("input[type=search]")) target.value = typed;
  if (caret !== null) target.setSelectionRange?.(caret, caret);
}

function addressOf(form) {
  const url = new URL(form.action);
  const given = [...new FormData(form)].filter(([, value]) => value !== "");
  url.search = new URLSearchParams(given);
  return url.href;
}

/** What a list depends on: not the part after the #, where the skip link goes. */
function placeOf({ pathname, search }) {
  return pathname + search;
}

addEventListener("popstate", () => {
  if (placeOf(location) === shown) return;
  if (find("#list")) navigate(location.href, { push: false });
  else location.reload();
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-nav]");
  if (!link?.href || event.defaultPrevented || wantsNewTab(event)) return;
  event.preventDefault();
  link.closest("[popover]")?.hidePopover();
  navigate(link.href);
  if (link.matches("[rel=next], [rel=prev]")) find("#main").scrollIntoView({ block: "start" });
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-nav-form]")) return;
  event.preventDefault();
  clearTimeout(pause);
  const popover = form.closest("[popover]");
  popover?.hidePopover();
  navigate(addressOf(form), { focus: popover && `[popovertarget="${CSS.escape(popover.id)}"]` });
});

document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-nav-form] input[type=search]")) return;
  const { form } = event.target;
  clearTimeout(pause);
  pause = setTimeout(() => form.isConnected && form.requestSubmit(), SEARCH_PAUSE);
});
