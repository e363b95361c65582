// The condition editor: a row is asked for anew when its key or operator changes; rows come and go without a page load.
import { announce, find, findAll, parse } from "./dom.js";
import { say } from "./texts.js";

export function init(scope) {
  findAll("[data-conditions]", scope).forEach(watch);
}

function watch(list) {
  const { form } = list.closest("form").elements.csrf_token;
  list.addEventListener("change", (event) => {
    const asks = event.target.closest("[data-condition-asks]");
    if (asks) renew(list, asks.closest("[data-condition]"), asks.id);
  });
  list.addEventListener("click", (event) => {
    const button = event.target.closest("[data-condition-remove]");
    if (!button) return;
    event.preventDefault();
    const row = button.closest("[data-condition]");
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    (next ? find("select", next) : find("[data-condition-add]", form)).focus();
    announce(say("Condition removed"));
  });
  const add = find("[data-condition-add]", form);
  add.addEventListener("click", async (event) => {
    event.preventDefault();
    const places = findAll("[data-condition]", list).map((row) => Number(row.dataset.condition));
    const place = Math.max(-1, ...places) + 1;
    const row = await ask(list, new URLSearchParams({ c: place }));
    if (!row) return;
    list.append(row);
    find("select", row).focus();
  });
  // Rows are always up to date here.
  find("[data-condition-again]", form).hidden = true;
}

const asked = new WeakMap();

async function renew(list, row, focus) {
  const data = new URLSearchParams();
  for (const field of findAll("[name]", row)) {
    if (field.matches("button") || (field.type === "checkbox" && !field.checked)) continue;
    data.append(field.name, field.value);
  }
  row.setAttribute("aria-busy", "true");
  asked.set(row, data);
  const fresh = await ask(list, data);
  if (asked.get(row) !== data) return; // The row was asked for again meanwhile, with what was chosen since.
  row.removeAttribute("aria-busy");
  if (!fresh) return;
  keepTyped(row, fresh, data);
  const held = document.activeElement;
  const isElsewhere = held !== document.body && !row.contains(held);
  const typing = held.matches("input:not([type=checkbox]), textarea");
  const [start, end] = [held.selectionStart, held.selectionEnd];
  row.replaceWith(fresh);
  if (isElsewhere) return;
  const next = (typing && find(`#${CSS.escape(held.id)}`, fresh)) || find(`#${CSS.escape(focus)}`, fresh);
  next?.focus();
  if (typing && next?.matches("input:not([type=checkbox]), textarea")) next.setSelectionRange(start, end);
}

/** What was typed while the answer was on its way stays. */
function keepTyped(row, fresh, sent) {
  for (const field of findAll("input[name]:not([type=checkbox], [type=hidden]), textarea[name]", row)) {
    const kept = find(`input[name="${CSS.escape(field.name)}"], textarea[name="${CSS.escape(field.name)}"]`, fresh);
    if (kept && kept.type !== "checkbox" && field.value !== (sent.get(field.name) ?? "")) kept.value = field.value;
  }
}

async function ask(list, data) {
  const address = `${list.dataset.conditions}?${data}`;
  const options = { headers: { "X-Partial": "row" }, credentials: "same-origin" };
  const response = await fetch(address, options).catch(() => null);
  return response?.ok ? find("[data-condition]", parse(await response.text())) : null;
}
