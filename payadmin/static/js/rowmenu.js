// One menu for all rows. The table says what it holds (data-row-actions: name, label, icon, url with {id}, danger,
// dialog); the pressed button says for which row (data-row-menu) and what is not possible there and why (data-off:
// the reasons, or the earlier row that has the same).
import { find, icon, make } from "./dom.js";
import { setOpener } from "./popover.js";
import { say } from "./texts.js";

let menu = null;
let opener = null;

function theMenu() {
  if (menu) return menu;
  menu = make("div", { id: "rowmenu", className: "pop", role: "menu" });
  menu.setAttribute("popover", "");
  menu.dataset.menu = "";
  find("#main").append(menu);
  menu.addEventListener("toggle", (event) => {
    // Only the button whose menu is open may toggle it; a press on another row opens that row's menu.
    if (event.newState === "closed" && opener) opener.popoverTargetElement = null;
  });
  return menu;
}

function entry(action, id, why) {
  const label = make("span", { textContent: action.label });
  if (why) label.append(make("span", { className: "why", textContent: why }));
  const link = make("a", { className: action.danger ? "mi danger" : "mi", role: "menuitem", tabIndex: -1 });
  link.append(icon(action.icon), label);
  if (why) link.setAttribute("aria-disabled", "true");
  else link.href = action.url.replace("{id}", encodeURIComponent(id));
  if (action.dialog && !why) link.dataset.dialog = "";
  return link;
}

function reasonsOf(button) {
  const off = button.dataset.off ?? "{}";
  const first = off.startsWith("{") ? button : find(`[data-row-menu="${off}"]`, button.closest("table"));
  return JSON.parse(first.dataset.off ?? "{}");
}

function fill(box, button) {
  const actions = JSON.parse(button.closest("[data-row-actions]").dataset.rowActions);
  const off = reasonsOf(button);
  box.setAttribute("aria-label", button.getAttribute("aria-label") ?? say("Actions"));
  box.replaceChildren(...actions.map((action) => entry(action, button.dataset.rowMenu, off[action.name])));
}

// Before the click does its work: the browser then opens the popover by itself, light dismiss and focus included.
document.addEventListener(
  "click",
  (event) => {
    const button = event.target.closest("button[data-row-menu]");
    if (!button || button.popoverTargetElement) return;
    const box = theMenu();
    if (opener) opener.popoverTargetElement = null;
    opener = button;
    fill(box, button);
    setOpener(box, button);
    button.popoverTargetElement = box;
  },
  true,
);

document.addEventListener("click", (event) => {
  const link = event.target.closest("#rowmenu a");
  if (!link) return;
  if (link.getAttribute("aria-disabled") === "true") event.preventDefault();
  else find("#rowmenu").hidePopover();
});
