// The one dialog: confirmations, and pages that open in place of a navigation (a[data-dialog]).
import { find, icon, make, parse, wantsNewTab } from "./dom.js";
import { initParts } from "./parts.js";
import { say } from "./texts.js";

const dialog = find("#dlg");
const PARTIAL = { headers: { "X-Partial": "dialog" }, credentials: "same-origin" };

function show(html) {
  dialog.replaceChildren(...parse(html).body.childNodes);
  initParts(dialog);
  if (!dialog.open) dialog.showModal();
  const wrong = find("[aria-invalid=true]", dialog) ?? find("[autofocus]", dialog);
  wrong?.focus();
  wrong?.select?.();
}

/** A refusal as the server words it, with a heading and a way out. */
function showProblem(html) {
  const close = make("button", { type: "button", className: "iconbtn", ariaLabel: say("Close") }, icon("x"));
  close.dataset.dialogClose = "";
  const heading = make("h2", { id: "dlg-title", textContent: say("This did not work") });
  dialog.replaceChildren(
    make("div", { className: "dlg-h" }, make("div", {}, heading), close),
    make("div", { className: "dlg-b" }, ...parse(html).body.childNodes),
  );
  if (!dialog.open) dialog.showModal();
  close.focus();
}

async function open(url) {
  const response = await fetch(url, PARTIAL).catch(() => null);
  if (!response || response.redirected || response.status === 401) return location.assign(url);
  const html = await response.text();
  return html.includes("data-problem") ? showProblem(html) : show(html);
}

/** Post a form of the dialog: go on where the server says, or show what it says is wrong. */
async function send(form, button) {
  const response = await fetch(form.action, {
    ...PARTIAL,
    method: "POST",
    body: new FormData(form, button),
  }).catch(() => null);
  if (!response) return lost(form);
  if (response.status === 204) return location.assign(response.headers.get("Location") ?? location.href);
  if (response.status === 401) return location.reload();
  const html = await response.text();
  if (html.includes("data-problem")) return addProblem(form, parse(html).body.childNodes);
  return show(html);
}

function addProblem(form, nodes) {
  find("[data-problem]", dialog)?.remove();
  const body = form.closest(".dlg-b") ?? find(".dlg-b", form) ?? form;
  body.prepend(...nodes);
  body.scrollTop = 0;
  unlock(form);
}

/** No answer: the form keeps its key, so sending it again is safe. */
function lost(form) {
  const alert = make("div", { className: "alert bad", role: "alert" }, icon("circle-x"));
  alert.dataset.problem = "lost";
  alert.append(make("div", { textContent: say("No answer from the server. Check your connection and send it again.") }));
  addProblem(form, [alert]);
}

function unlock(form) {
  form.dispatchEvent(new CustomEvent("unlock", { bubbles: true }));
}

/** Ask before something that is hard to undo; resolves to true or false. */
export function confirm(question, verb) {
  const no = make("button", { type: "button", className: "btn", textContent: say("Cancel") });
  const yes = make("button", { type: "button", className: "btn btn-danger", textContent: verb });
  const heading = make("div", {}, make("h2", { id: "dlg-title", textContent: `${verb}?` }));
  heading.append(make("p", { textContent: question }));
  dialog.replaceChildren(make("div", { className: "dlg-h" }, heading), make("div", { className: "dlg-f" }, no, yes));
  no.addEventListener("click", () => dialog.close(""));
  yes.addEventListener("click", () => dialog.close("yes"));
  dialog.returnValue = "";
  dialog.showModal();
  no.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

async function confirmed(element) {
  const verb = element.dataset.confirmVerb ?? element.textContent.trim();
  if (!(await confirm(element.dataset.confirm, verb))) return;
  element.dataset.confirmed = "";
  element.click();
  delete element.dataset.confirmed;
}

if (dialog) {
  document.addEventListener(
    "click",
    (event) => {
      const asked = event.target.closest("[data-confirm]");
      if (!asked || asked.dataset.confirmed !== undefined) return;
      event.preventDefault();
      event.stopPropagation();
      confirmed(asked);
    },
    true,
  );

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (link && link.getAttribute("aria-disabled") !== "true" && !wantsNewTab(event)) {
      event.preventDefault();
      link.closest("[popover]")?.hidePopover();
      open(link.href);
    }
    if (event.target === dialog) dialog.close();
    const close = event.target.closest("[data-dialog-close]");
    const around = close?.closest("dialog");
    if (around) {
      event.preventDefault();
      around.close();
    }
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!dialog.contains(form) || form.method !== "post" || form.matches("[data-download]")) return;
    event.preventDefault();
    send(form, event.submitter);
  });
}
