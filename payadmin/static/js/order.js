// Lists that people put in order: by dragging the grip, by the arrow keys on it, or by the buttons of each row.
// [data-order] names the address that keeps the order; an empty one leaves it to the form that the list is in.
import { announce, find, findAll, parse } from "./dom.js";
import { say } from "./texts.js";
import { toast, toastMessages } from "./toasts.js";

export function init(scope) {
  const lists = findAll("[data-order]", scope);
  if (scope.matches?.("[data-order]")) lists.push(scope);
  lists.forEach((list) => new Order(list));
}

class Order {
  #dragged = null;
  #home = null;
  #isInside = false;

  constructor(list) {
    this.list = list;
    this.address = list.dataset.order;
    list.addEventListener("click", (event) => this.#clicked(event));
    list.addEventListener("keydown", (event) => this.#pressed(event));
    // Only the grip drags: text in a row can still be selected.
    list.addEventListener("pointerdown", (event) => {
      const grip = event.target.closest("[data-grip]");
      if (grip) this.#itemOf(grip).draggable = true;
    });
    list.addEventListener("pointerup", () => this.#letGo());
    list.addEventListener("dragstart", (event) => this.#start(event));
    list.addEventListener("dragover", (event) => this.#over(event));
    // A row that moves under the pointer is left too, so what counts is where the pointer is.
    list.addEventListener("dragleave", (event) => {
      const { left, right, top, bottom } = list.getBoundingClientRect();
      const { clientX: x, clientY: y } = event;
      this.#isInside = x > left && x < right && y > top && y < bottom;
    });
    list.addEventListener("drop", (event) => event.preventDefault());
    list.addEventListener("dragend", () => this.#end());
  }

  get #items() {
    return findAll("[data-order-item]", this.list);
  }

  #itemOf(element) {
    return element.closest("[data-order-item]");
  }

  #clicked(event) {
    const button = event.target.closest("[data-order-move]");
    if (!button) return;
    event.preventDefault();
    if (button.getAttribute("aria-disabled") !== "true") this.#step(button, Number(button.dataset.orderMove));
  }

  #pressed(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || !event.target.closest("[data-grip]")) return;
    event.preventDefault();
    this.#step(event.target.closest("[data-grip]"), step);
  }

  /** Move the row of `control` by one; the focus stays on the control. */
  #step(control, step) {
    const item = this.#itemOf(control);
    if (this.address) return this.#send(item, Number(item.dataset.place) + step, control.id);
    const items = this.#items;
    const beside = items[items.indexOf(item) + step];
    if (beside) {
      if (step < 0) beside.before(item);
      else beside.after(item);
      control.focus();
      this.#tell(item, this.#items.indexOf(item) + 1, items.length);
    }
    return undefined;
  }

  #start(event) {
    const item = this.#itemOf(event.target);
    if (!item?.draggable) return;
    this.#dragged = item;
    this.#home = item.nextSibling;
    this.#isInside = true;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", item.dataset.name);
    requestAnimationFrame(() => item.classList.add("is-dragged"));
  }

  #over(event) {
    const over = this.#dragged && this.#itemOf(event.target);
    if (!this.#dragged) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "move";
    this.#isInside = true;
    if (!over || over === this.#dragged) return;
    const { top, height } = over.getBoundingClientRect();
    if (event.clientY < top + height / 2) over.before(this.#dragged);
    else over.after(this.#dragged);
  }

  /** What is drawn when the row is let go of is kept; beside the list it goes back to its place. */
  #end() {
    const [item, home] = [this.#dragged, this.#home];
    this.#dragged = this.#home = null;
    this.#letGo();
    if (!item) return;
    item.classList.remove("is-dragged");
    if (!this.#isInside) item.parentNode.insertBefore(item, home);
    else if (item.nextSibling !== home) this.#keep(item);
  }

  #keep(item) {
    const items = this.#items;
    const place = items.indexOf(item) + 1;
    if (!this.address) return this.#tell(item, place, items.length);
    const first = Math.min(...items.map((each) => Number(each.dataset.place)));
    return this.#send(item, first + place - 1, find("[data-grip]", item).id);
  }

  #letGo() {
    for (const item of this.#items) item.removeAttribute("draggable");
  }

  #tell(item, place, places) {
    announce(say("{name} is number {place} of {places}", { name: item.dataset.name, place, places }));
  }

  async #send(item, place, focus) {
    const { version, page } = this.list.dataset;
    const { name } = item.dataset;
    const data = new FormData();
    data.set("csrf_token", find("#order-form input[name=csrf_token]").value);
    for (const [key, value] of Object.entries({ version, page, to: `${place}:${item.dataset.orderItem}` })) {
      data.set(key, value);
    }
    this.list.setAttribute("aria-busy", "true");
    const options = { method: "POST", body: data, headers: { "X-Partial": "list" }, credentials: "same-origin" };
    const response = await fetch(this.address, options).catch(() => null);
    const fresh = response?.ok ? parse(await response.text()) : null;
    const list = fresh?.getElementById(this.list.id);
    if (!list) {
      this.list.removeAttribute("aria-busy");
      if (response) location.reload();
      else toast(say("No answer from the server. Check your connection and send it again."), "bad");
      return;
    }
    this.list.replaceWith(list);
    find("#messages")?.replaceWith(fresh.getElementById("messages") ?? "");
    toastMessages(document);
    init(list);
    const moved = find(`[data-order-item="${CSS.escape(item.dataset.orderItem)}"]`, list);
    find(`#${CSS.escape(focus)}`, list)?.focus();
    if (moved) announce(say("{name} is number {place} of {places}", { name, place: moved.dataset.place, places: list.dataset.places }));
  }
}
