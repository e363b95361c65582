// File forms: drop a file on the zone or browse. A form that is refused keeps its file: only its words are replaced.
import { find, findAll, parse } from "./dom.js";
import { initParts } from "./parts.js";
import { say } from "./texts.js";

const AFTER_LOCK = 50; // every form that is sent is locked first
const LOST = say(
  "No answer from the server. Look whether the file is among the latest uploads before you send it again.",
);

export function init(scope) {
  findAll("form[data-drop]", scope).forEach(prepare);
}

function prepare(form) {
  const zone = find(".drop", form);
  const input = find("input[type=file]", form);
  input.addEventListener("change", () => show(form, input));
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    show(form, input);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (isTooLarge(input)) refuse(form, input, tooLarge(input));
    else send(form, input);
  });
}

const isTooLarge = (input) => input.files.length > 0 && input.files[0].size > Number(input.dataset.mostBytes);
const inMegabytes = (size) => (size / 2 ** 20).toFixed(1);
const tooLarge = (input) =>
  say("The file has {size} MB; at most {most} MB are read. Split it into smaller files.", {
    size: inMegabytes(input.files[0].size),
    most: inMegabytes(input.dataset.mostBytes),
  });

function sizeText(size) {
  if (size >= 2 ** 20) return `${inMegabytes(size)} MB`;
  return size >= 1024 ? `${Math.round(size / 1024)} kB` : `${size} bytes`;
}

/** Say which file is chosen; a new choice is not judged by what was wrong with the last one. */
function show(form, input) {
  const file = input.files[0];
  find("[data-drop-name]", form).textContent = file ? `${file.name} · ${sizeText(file.size)}` : "";
  if (isTooLarge(input)) return complain(form, input, tooLarge(input));
  find("[data-drop-problem]", form).hidden = true;
  return input.removeAttribute("aria-invalid");
}

function complain(form, input, sentence) {
  const problem = find("[data-drop-problem]", form);
  find("[data-drop-sentence]", problem).textContent = sentence;
  find("a", problem)?.remove();
  problem.hidden = false;
  input.setAttribute("aria-invalid", "true");
}

function refuse(form, input, sentence) {
  complain(form, input, sentence);
  input.focus();
  setTimeout(() => form.dispatchEvent(new CustomEvent("unlock", { bubbles: true })), AFTER_LOCK);
}

async function send(form, input) {
  const file = input.files[0];
  if (file) find("[data-drop-name]", form).textContent = say("Sending {name}…", { name: file.name });
  let response;
  let html;
  try {
    response = await fetch(form.action, { method: "POST", body: new FormData(form), credentials: "same-origin" });
    if (response.redirected) return location.assign(response.url);
    html = await response.text();
  } catch {
    show(form, input);
    return refuse(form, input, LOST);
  }
  const fresh = find(`#${CSS.escape(form.closest("[id]").id)}`, parse(html));
  if (!fresh) return location.reload();
  return replace(form, input, fresh);
}

/** Take over the form as the server sent it back, with the file that was chosen. */
function replace(form, input, fresh) {
  const kept = document.adoptNode(fresh);
  form.closest("[id]").replaceWith(kept);
  const again = find("input[type=file]", kept);
  again.files = input.files;
  if (again.files.length) {
    find("[data-drop-name]", kept).textContent = `${again.files[0].name} · ${sizeText(again.files[0].size)}`;
  }
  initParts(kept);
  const wrong = find("[aria-invalid=true]", kept);
  wrong?.focus();
}
