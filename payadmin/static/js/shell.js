// The frame: sidebar on small screens, colour theme, copy buttons, the "/" key.
import { find, findAll, make } from "./dom.js";
import { toast } from "./toasts.js";
import { say } from "./texts.js";

const root = document.documentElement;
const YEAR = 31536000;

function toggleTheme() {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  const secure = location.protocol === "https:" ? ";secure" : "";
  document.cookie = `theme=${root.dataset.theme};path=/;max-age=${YEAR};samesite=lax${secure}`;
  document.dispatchEvent(new CustomEvent("themechange"));
}

function openSide(button) {
  const side = find("#side");
  side.classList.add("open");
  button.setAttribute("aria-expanded", "true");
  const scrim = make("div", { className: "scrim" });
  scrim.addEventListener("click", closeSide);
  document.body.append(scrim);
  find("a", side).focus();
}

function closeSide() {
  find("#side")?.classList.remove("open");
  find(".scrim")?.remove();
  find("[data-side]")?.setAttribute("aria-expanded", "false");
}

// The menu is longer than most windows: it opens where one is.
function showHere() {
  const nav = find(".nav");
  const here = nav && find("[aria-current]", nav);
  const below = here ? here.getBoundingClientRect().bottom - nav.getBoundingClientRect().bottom : 0;
  if (below > 0) nav.scrollTop = below + nav.clientHeight / 3;
}

async function copy(button) {
  button.closest("[popover]")?.hidePopover();
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    toast(say("Copied {text}", { text: button.dataset.copy }));
  } catch {
    toast(say("The browser did not allow copying."), "bad");
  }
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-toggle]")) toggleTheme();
  const menu = event.target.closest("[data-side]");
  if (menu) openSide(menu);
  const copied = event.target.closest("[data-copy]");
  if (copied) copy(copied);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && find("#side.open")) {
    closeSide();
    find("[data-side]").focus();
  }
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
  const search = find("#q");
  if (event.key === "/" && !typing && search && !findAll("dialog[open]").length) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});

showHere();
