// The schedule editor: its preview follows what is typed; a date can be picked rather than typed.
import { find, findAll, make } from "./dom.js";
import { say } from "./texts.js";

const PAUSE = 350;

export function init(scope) {
  findAll("[data-schedule]", scope).forEach(watch);
}

function watch(editor) {
  let pause = null;
  let running = null;
  const later = () => {
    clearTimeout(pause);
    pause = setTimeout(() => {
      running?.abort();
      running = new AbortController();
      refresh(editor, running.signal);
    }, PAUSE);
  };
  editor.addEventListener("input", later);
  editor.addEventListener("change", later);
  const adder = find("[data-date-adder]", editor);
  if (!adder) return;
  adder.hidden = false;
  const day = find("input[type=date]", adder);
  find("[data-date-add]", adder).addEventListener("click", () => add(editor, day));
  day.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    add(editor, day);
  });
}

function add(editor, day) {
  const list = find("textarea[name=dates]", editor);
  if (!day.value || !list) return;
  const dates = list.value.split(/[\s,;]+/).filter(Boolean);
  list.value = [...new Set([...dates, day.value])].sort().join("\n");
  list.dispatchEvent(new Event("input", { bubbles: true }));
  day.focus();
}

async function refresh(editor, signal) {
  const { form } = find("input", editor);
  const place = find("[data-schedule-preview]", form);
  if (!place) return;
  // Only what belongs to the schedule is sent, not who pays with which card.
  const data = new FormData();
  data.set("csrf_token", form.elements.csrf_token.value);
  for (const field of findAll("[name]", editor)) {
    if (field.type !== "checkbox" && field.type !== "radio") data.append(field.name, field.value);
    else if (field.checked) data.append(field.name, field.value);
  }
  place.setAttribute("aria-busy", "true");
  try {
    const headers = { "X-Partial": "preview" };
    const options = { method: "POST", headers, body: data, signal, credentials: "same-origin" };
    const response = await fetch(editor.dataset.schedule, options);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    place.replaceChildren(...page.body.childNodes);
  } catch (error) {
    if (error.name === "AbortError") return;
    place.replaceChildren(make("p", { className: "muted", textContent: say("No answer from the server: no preview.") }));
  }
  place.removeAttribute("aria-busy");
}
