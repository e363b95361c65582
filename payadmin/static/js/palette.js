// The command palette (Ctrl K): pages, payments and customers by name or any pasted ID.
import { find, findAll, icon, make } from "./dom.js";
import { say } from "./texts.js";

const PAUSE = 120;

const palette = find("#palette");
const input = palette && find("input", palette);
const results = find("#pal-list");

let at = 0;
let pause = null;
let running = null;

const options = () => findAll(".pal-opt", results);

async function search() {
  running?.abort();
  running = new AbortController();
  let found;
  try {
    const response = await fetch(`${results.dataset.src}?q=${encodeURIComponent(input.value)}`, {
      headers: { Accept: "application/json" },
      signal: running.signal,
    });
    if (!response.ok) return;
    found = await response.json();
  } catch {
    return;
  }
  show(found);
}

function show(found) {
  at = 0;
  results.replaceChildren();
  let group = null;
  found.forEach((item, index) => {
    if (item.group !== group) {
      ({ group } = item);
      results.append(make("div", { className: "mhead", role: "presentation", textContent: group }));
    }
    results.append(option(item, index));
  });
  if (!found.length) {
    const text = say("Nothing found. Try a full reference or an e-mail address.");
    results.append(make("div", { className: "empty", role: "option", ariaDisabled: "true", textContent: text }));
  }
  mark();
}

function option(item, index) {
  const link = make("a", {
    className: "pal-opt",
    href: item.url,
    id: `pal-opt-${index}`,
    role: "option",
    tabIndex: -1,
  });
  const text = make("span", {}, make("b", { textContent: item.title }), " ");
  text.append(make("small", { textContent: item.sub ?? "" }));
  link.append(icon(item.icon), text);
  if (item.end) link.append(make("span", { className: "end num", textContent: item.end }));
  return link;
}

function mark() {
  const all = options();
  all.forEach((item, index) => item.setAttribute("aria-selected", String(index === at)));
  all[at]?.scrollIntoView({ block: "nearest" });
  if (all[at]) input.setAttribute("aria-activedescendant", all[at].id);
  else input.removeAttribute("aria-activedescendant");
}

function open() {
  if (palette.open) return;
  input.value = "";
  palette.showModal();
  search();
}

function keyPressed(event) {
  const all = options();
  if (event.key === "Enter") {
    all[at]?.click();
    return;
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  if (all.length) at = (at + step + all.length) % all.length;
  mark();
}

if (palette) {
  input.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(search, PAUSE);
  });
  input.addEventListener("keydown", keyPressed);
  palette.addEventListener("click", (event) => {
    if (event.target === palette) palette.close();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-palette]")) open();
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    open();
  });
}
