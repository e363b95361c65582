// The command palette (Ctrl K): pages and records by name or any pasted ID, each with what can be done with it.
// Up and down choose a row, right and left what to do with it, Enter does it.
import { find, findAll, icon, make } from "./dom.js";
import { say } from "./texts.js";

const PAUSE = 120;
const SHORTEST = 3;

const palette = find("#palette");
const input = palette && find("input", palette);
const results = find("#pal-list");

let at = 0;
let cell = 0;
let pause = null;
let running = null;

const rows = () => findAll(".pal-row", results);
const cells = (row) => (row ? findAll(".pal-cell", row) : []);

async function search() {
  running?.abort();
  running = new AbortController();
  const term = input.value.trim();
  let found;
  try {
    const response = await fetch(`${results.dataset.src}?q=${encodeURIComponent(term)}`, {
      headers: { Accept: "application/json" },
      signal: running.signal,
    });
    if (!response.ok) return;
    found = await response.json();
  } catch {
    return;
  }
  show(found, term);
}

function show(found, term) {
  at = 0;
  cell = 0;
  results.replaceChildren();
  let group = null;
  let box = null;
  for (const item of found) {
    if (item.group !== group) {
      ({ group } = item);
      box = make("div", { role: "rowgroup", ariaLabel: group });
      box.append(make("div", { className: "mhead", ariaHidden: "true", textContent: group }));
      results.append(box);
    }
    box.append(row(item));
  }
  if (found.length && term) results.append(allOfThem(term));
  if (!found.length) results.append(nothing(term));
  rows().forEach((each, number) => {
    cells(each).forEach((one, place) => (one.id = `pal-${number}-${place}`));
  });
  mark();
}

function nothing(term) {
  const text =
    term.length < SHORTEST
      ? say("Nothing is called so. Type at least {number} characters to find what begins with them.", { number: SHORTEST })
      : say("Nothing found. Try a whole reference, an e-mail address or a phone number.");
  const place = make("div", { role: "row" });
  place.append(make("div", { className: "empty", role: "gridcell", textContent: text }));
  return place;
}

function cellOf(link) {
  const place = make("div", { className: "pal-cell", role: "gridcell" });
  place.append(link);
  return place;
}

function row(item) {
  const line = make("div", { className: "pal-row", role: "row" });
  const link = make("a", { className: "pal-opt", href: item.url, tabIndex: -1 });
  const text = make("span", {}, make("b", { textContent: item.title }), " ");
  text.append(make("small", { textContent: item.sub ?? "" }));
  link.append(icon(item.icon), text);
  const end = make("span", { className: "end num" });
  if (item.end) end.append(make("span", { textContent: item.end }));
  if (item.status) end.append(make("span", { className: `badge b-${item.status.tone}`, textContent: item.status.word }));
  if (end.childNodes.length) link.append(end);
  line.append(cellOf(link));
  for (const action of item.actions ?? []) {
    const act = make("a", { className: "pal-act", href: action.url, tabIndex: -1, textContent: action.label });
    if (action.danger) act.classList.add("danger");
    if (action.dialog) act.dataset.dialog = "";
    line.append(cellOf(act));
  }
  return line;
}

function allOfThem(term) {
  const url = `${results.dataset.all}?q=${encodeURIComponent(term)}`;
  const box = make("div", { role: "rowgroup", ariaLabel: say("All results") });
  box.append(row({ icon: "search", title: say("All results on a page"), url }));
  return box;
}

function mark() {
  const all = rows();
  findAll("[aria-selected]", results).forEach((one) => one.removeAttribute("aria-selected"));
  const chosen = cells(all[at])[cell];
  if (!chosen) {
    input.removeAttribute("aria-activedescendant");
    return;
  }
  chosen.setAttribute("aria-selected", "true");
  chosen.scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", chosen.id);
}

function open() {
  if (palette.open) return;
  input.value = "";
  palette.showModal();
  search();
}

function sideways(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const isAtEnd = input.selectionStart === input.value.length && input.selectionEnd === input.value.length;
  const next = cell + step;
  // Inside what was typed the arrows move the caret, as everywhere.
  if ((step > 0 && !isAtEnd) || next < 0 || next >= cells(rows()[at]).length) return;
  event.preventDefault();
  cell = next;
  mark();
}

function keyPressed(event) {
  const all = rows();
  if (event.key === "Enter") {
    event.preventDefault();
    find("a", cells(all[at])[cell] ?? results)?.click();
    return;
  }
  if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    sideways(event);
    return;
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  if (all.length) at = (at + step + all.length) % all.length;
  cell = 0;
  mark();
}

if (palette) {
  input.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(search, PAUSE);
  });
  input.addEventListener("keydown", keyPressed);
  palette.addEventListener("click", (event) => {
    if (event.target === palette || event.target.closest("a[data-dialog]")) palette.close();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-palette]")) return;
    event.preventDefault();
    open();
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    open();
  });
}
