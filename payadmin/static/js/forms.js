// Every form: no second submit while the first is on its way.
import { findAll } from "./dom.js";

const DOWNLOAD_TAKES = 3000;

const buttonsOf = (form) =>
  findAll("button:not([type]), button[type=submit]").filter((button) => button.form === form && !button.disabled);

function lock(form) {
  // After the browser has collected the form's data, the pressed button's name included.
  setTimeout(() => {
    for (const button of buttonsOf(form)) {
      button.disabled = true;
      button.dataset.locked = "";
    }
  });
}

function unlock(inside) {
  for (const button of findAll("[data-locked]", inside)) {
    button.disabled = false;
    delete button.dataset.locked;
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  lock(form);
  // A file leaves the page where it is, so its buttons are wanted again.
  const isDownload = form.matches("[data-download]") || event.submitter?.matches("[data-download]");
  if (isDownload) setTimeout(() => unlock(document), DOWNLOAD_TAKES);
});

document.addEventListener("unlock", (event) => unlock(event.target));

// Back from the history cache: the page is as it was left, with its buttons locked.
addEventListener("pageshow", (event) => {
  if (event.persisted) unlock(document);
});
