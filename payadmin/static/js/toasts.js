// Toasts: short good news. An error is never only a toast.
import { find, findAll, icon, make } from "./dom.js";
import { say } from "./texts.js";

const ICONS = { ok: "circle-check", bad: "circle-x", info: "info-circle" };
const SHOWN_FOR = 6000;

export function toast(text, tone = "ok") {
  const close = make("button", { type: "button", ariaLabel: say("Dismiss") }, icon("x"));
  const box = make("div", { className: `toast ${tone}` }, icon(ICONS[tone]), make("p", { textContent: text }), close);
  close.addEventListener("click", () => box.remove());
  find("#toasts").append(box);
  if (tone !== "bad") setTimeout(() => box.remove(), SHOWN_FOR);
}

/** Turn the flashed messages inside `scope` that are good news into toasts. */
export function toastMessages(scope) {
  for (const message of findAll("[data-toast]", scope)) {
    toast(message.textContent.trim(), message.dataset.toast);
    message.remove();
  }
}
