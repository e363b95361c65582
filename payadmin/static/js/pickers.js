// Relation pickers: select[data-picker] and input[data-picker-url] become Tom Select. Only form pages load this,
// after vendor/tom-select/tom-select.complete.min.js.
import { findAll } from "./dom.js";

const MANY = 12;

function choosing(select) {
  if (!select.multiple && select.options.length <= MANY) return;
  new window.TomSelect(select, { plugins: select.multiple ? ["remove_button"] : [], maxOptions: 500 });
}

/** `data-picker-url` answers [{id, text}, …] for ?q=…; `data-picker-chosen` is what the field holds now, in that shape. */
function lookingUp(input) {
  const chosen = JSON.parse(input.dataset.pickerChosen || "[]").map(({ id, text }) => ({ id: String(id), text }));
  new window.TomSelect(input, {
    valueField: "id",
    labelField: "text",
    searchField: [],
    maxItems: 1,
    plugins: ["clear_button"],
    placeholder: input.placeholder,
    options: chosen,
    items: chosen.map(({ id }) => id),
    shouldLoad: (query) => query.length > 0,
    load: (query, done) => look(input.dataset.pickerUrl, query).then(done, () => done()),
  });
}

async function look(address, query) {
  const url = new URL(address, location.href);
  url.searchParams.set("q", query);
  const response = await fetch(url, { headers: { Accept: "application/json" }, credentials: "same-origin" });
  if (!response.ok) return [];
  return (await response.json()).map(({ id, text }) => ({ id: String(id), text }));
}

export function init(scope) {
  findAll("select[data-picker]", scope).forEach(choosing);
  findAll("input[data-picker-url]", scope).forEach(lookingUp);
}

init(document);
