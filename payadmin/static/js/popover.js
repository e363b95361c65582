// Popovers: placed beside the button that opened them; arrow keys, Home, End and letters inside menus.
import { find, findAll } from "./dom.js";

const GAP = 4;
const MARGIN = 8;

const SLACK = 8;

const openers = new WeakMap();
let openedAt = 0;

/** Remember which button opens a popover that has no popovertarget of its own. */
export function setOpener(popover, button) {
  openers.set(popover, button);
}

const openerOf = (popover) => openers.get(popover) ?? find(`[popovertarget="${CSS.escape(popover.id)}"]`);

function place(popover, button) {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = popover;
  let x = at.left;
  if (x + width > innerWidth - MARGIN) x = Math.max(MARGIN, at.right - width);
  let y = at.bottom + GAP;
  const above = at.top - height - GAP;
  if (y + height > innerHeight - MARGIN && above > MARGIN) y = above;
  popover.style.left = `${x}px`;
  popover.style.top = `${y}px`;
}

function focusFirst(popover) {
  const first = popover.matches("[data-menu]")
    ? (find(".mi:not([aria-disabled=true])", popover) ?? find(".mi", popover))
    : find("input:not([type=hidden]), select, button, a", popover);
  first?.focus({ preventScroll: true });
}

document.addEventListener(
  "toggle",
  (event) => {
    const popover = event.target;
    if (!(popover instanceof HTMLElement) || !popover.hasAttribute("popover")) return;
    const isOpen = event.newState === "open";
    const button = openerOf(popover);
    button?.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return;
    if (button) place(popover, button);
    openedAt = scrollY;
    focusFirst(popover);
  },
  true,
);

// A popover is fixed to the window: when the page moves under it, it closes.
addEventListener(
  "scroll",
  (event) => {
    if (event.target !== document || Math.abs(scrollY - openedAt) < SLACK) return;
    findAll("[popover]:popover-open").forEach((popover) => popover.hidePopover());
  },
  { passive: true, capture: true },
);

document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.("[data-menu]");
  if (!menu) return;
  const items = findAll(".mi", menu);
  const at = items.indexOf(document.activeElement);
  const targets = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 };
  if (event.key in targets) {
    event.preventDefault();
    items[(targets[event.key] + items.length) % items.length]?.focus();
  } else if (event.key === "Tab") {
    menu.hidePopover();
  } else if (event.key.length === 1 && event.key !== " ") {
    const letter = event.key.toLowerCase();
    items.find((item) => item.textContent.trim().toLowerCase().startsWith(letter))?.focus();
  }
});
