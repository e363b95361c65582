// Rows of a list: open by click, choose with checkboxes, shift for a range, all matching; the bar counts and adds up.
import { find, findAll } from "./dom.js";
import { Sums } from "./money.js";
import { say } from "./texts.js";

const IGNORED = "a, button, input, label, select, textarea, [popover]";

/** Make the list inside `scope` (or `scope` itself) answer. */
export function initList(scope) {
  const list = scope.id === "list" ? scope : find("#list", scope);
  if (list) new Selection(list);
}

class Selection {
  #last = null;

  constructor(list) {
    this.list = list;
    this.bar = find("#bulk", list);
    this.head = find("[data-check-all]", list);
    this.all = this.bar && find("input[name=all]", this.bar);
    list.addEventListener("click", (event) => this.#clicked(event));
    this.head?.addEventListener("change", () => this.#checkAll(this.head.checked));
    this.all?.addEventListener("change", () => this.#show());
    this.bar && find("[data-bulk-clear]", this.bar)?.addEventListener("click", () => this.#checkAll(false));
    this.#show();
  }

  get #rows() {
    return findAll(".rowcheck", this.list);
  }

  #clicked(event) {
    const box = event.target.closest(".rowcheck");
    if (box) this.#checked(box, event.shiftKey);
    else this.#open(event);
  }

  #checked(box, isRange) {
    const rows = this.#rows;
    if (isRange && this.#last) {
      const [first, last] = [rows.indexOf(this.#last), rows.indexOf(box)].sort((a, b) => a - b);
      rows.slice(first, last + 1).forEach((row) => (row.checked = box.checked));
    }
    this.#last = box;
    this.#show();
  }

  #open(event) {
    const row = event.target.closest("tr[data-href]");
    if (!row || event.target.closest(IGNORED) || getSelection().toString()) return;
    if (event.metaKey || event.ctrlKey) window.open(row.dataset.href, "_blank", "noopener");
    else location.assign(row.dataset.href);
  }

  #checkAll(isChecked) {
    this.#rows.forEach((row) => (row.checked = isChecked));
    this.#show();
  }

  #show() {
    const rows = this.#rows;
    const chosen = rows.filter((row) => row.checked);
    const isFull = rows.length > 0 && chosen.length === rows.length;
    if (this.head) {
      this.head.checked = isFull;
      this.head.indeterminate = chosen.length > 0 && !isFull;
    }
    if (!this.bar) return;
    this.bar.hidden = chosen.length === 0;
    const everything = this.#offerAll(isFull);
    find("[data-bulk-count]", this.bar).textContent = everything
      ? say("All matching selected")
      : say("{number} selected", { number: chosen.length });
    find("[data-bulk-sum]", this.bar).textContent = everything ? "" : sumOf(chosen);
  }

  /** "All matching" is offered once the whole page is chosen, and forgotten when a row is taken out. */
  #offerAll(isFull) {
    if (!this.all) return false;
    (this.all.closest("[data-bulk-all]") ?? this.all.closest("label")).hidden = !isFull;
    if (!isFull) this.all.checked = false;
    return this.all.checked;
  }
}

function sumOf(rows) {
  const sums = new Sums();
  for (const { dataset } of rows) {
    if (dataset.cur) sums.add(dataset.cur, BigInt(dataset.minor), Number(dataset.exp));
  }
  return sums.text();
}
