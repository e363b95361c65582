// File forms: drop a file on the zone or browse; the form sends itself once it has one.
import { find, findAll } from "./dom.js";

export function init(scope) {
  findAll("[data-drop]", scope).forEach(prepare);
}

function prepare(form) {
  const zone = find(".drop", form);
  const input = find("input[type=file]", form);
  input.addEventListener("change", () => input.files.length && send(form, input));
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
    send(form, input);
  });
}

function send(form, input) {
  find("[data-drop-name]", form).textContent = `Checking ${input.files[0].name}…`;
  form.requestSubmit();
}
