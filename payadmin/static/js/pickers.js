// Relation pickers: input[data-picker-url] and longer select[data-picker] become Tom Select, fetched when a form has one.
import { findAll, make } from "./dom.js";
import { say } from "./texts.js";

const MANY = 12;
const own = new URL(import.meta.url);
const near = (path) => new URL(path + own.search, own).href;

let library = null;

function loadLibrary() {
  library ??= new Promise((resolve, reject) => {
    document.head.append(make("link", { rel: "stylesheet", href: near("../css/pickers.css") }));
    const script = make("script", { src: near("../vendor/tom-select/tom-select.complete.min.js") });
    script.addEventListener("load", () => resolve(window.TomSelect));
    script.addEventListener("error", () => reject(new Error("Tom Select could not be loaded")));
    document.head.append(script);
  });
  return library;
}

function choosing(TomSelect, select) {
  if (!select.multiple && select.options.length <= MANY) return;
  new TomSelect(select, { plugins: select.multiple ? ["remove_button"] : [], maxOptions: 500 });
}

/** `data-picker-url` answers [{id, text}, …] to ?q=…; `data-picker-chosen` is what the field holds now, in that shape. */
function lookingUp(TomSelect, input) {
  const chosen = JSON.parse(input.dataset.pickerChosen || "[]").map(({ id, text }) => ({ id: String(id), text }));
  const picker = new TomSelect(input, {
    valueField: "id",
    labelField: "text",
    searchField: ["text"],
    // The server has searched, by more than the text that is shown.
    score: () => () => 1,
    maxItems: 1,
    hideSelected: true,
    plugins: ["clear_button"],
    placeholder: input.placeholder || say("Type to search"),
    options: chosen,
    items: chosen.map(({ id }) => id),
    shouldLoad: (query) => query.length > 0,
    load: (query, done) => {
      picker.clearOptions();
      look(input.dataset.pickerUrl, query).then(done, () => done());
    },
  });
  // The field itself only carries the number from here on; its label belongs to the picker.
  input.type = "hidden";
}

async function look(address, query) {
  const url = new URL(address, location.href);
  url.searchParams.set("q", query);
  const response = await fetch(url, { headers: { Accept: "application/json" }, credentials: "same-origin" });
  if (!response.ok) return [];
  return (await response.json()).map(({ id, text }) => ({ id: String(id), text }));
}

export async function init(scope) {
  const TomSelect = await loadLibrary();
  findAll("select[data-picker]:not(.tomselected)", scope).forEach((select) => choosing(TomSelect, select));
  findAll("input[data-picker-url]:not(.tomselected)", scope).forEach((input) => lookingUp(TomSelect, input));
}
