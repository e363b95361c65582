// The bell: what it opens is fetched when it opens; the number is asked for once a minute while somebody looks.
import { find, parse } from "./dom.js";
import { setOpener } from "./popover.js";
import { say } from "./texts.js";

const OFTEN = 60_000;
const HEADERS = { "X-Partial": "status" };

const button = find("[data-bell]");
const popover = find("#bellmenu");
const count = button && find("[data-bell-count]", button);

async function ask(url) {
  const response = await fetch(url, { headers: HEADERS, credentials: "same-origin" }).catch(() => null);
  return response?.ok && !response.redirected ? response.text() : null;
}

function show(text) {
  count.textContent = text;
  const said = text ? say("Notifications, {number} unread", { number: text }) : say("Notifications");
  button.setAttribute("aria-label", said);
}

async function refresh() {
  if (document.hidden) return;
  const text = await ask(button.dataset.bell);
  if (text !== null && text.length < 5) show(text);
}

async function fill() {
  const html = await ask(popover.dataset.src);
  if (html === null) return;
  popover.replaceChildren(...parse(html).body.childNodes);
  find("a", popover)?.focus({ preventScroll: true });
}

if (button && popover) {
  setOpener(popover, button);
  button.addEventListener("click", (event) => {
    event.preventDefault();
    popover.togglePopover();
  });
  popover.addEventListener("toggle", (event) => event.newState === "open" && fill());
  setInterval(refresh, OFTEN);
  document.addEventListener("visibilitychange", refresh);
}
