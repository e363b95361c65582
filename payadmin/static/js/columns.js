// The column chooser: the two buttons beside each column move it in place; Save sends the order.
import { announce, find, findAll } from "./dom.js";

export function init(scope) {
  findAll("form[data-columns]", scope).forEach((form) => {
    form.addEventListener("click", (event) => moved(event, form));
  });
}

function moved(event, form) {
  const button = event.target.closest("button[name=move]");
  if (!button) return;
  event.preventDefault();
  const row = button.closest("li");
  const isUp = button.value.endsWith(":up");
  const other = isUp ? row.previousElementSibling : row.nextElementSibling;
  if (!other) return;
  if (isUp) other.before(row);
  else other.after(row);
  button.focus();
  row.scrollIntoView({ block: "nearest" });
  const rows = findAll("li", form);
  announce(`${find("label", row).textContent.trim()}: place ${rows.indexOf(row) + 1} of ${rows.length}`);
}
