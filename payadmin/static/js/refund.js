// Refund amounts: checked while typing, added up per unit, the button says what will happen. The server decides.
import { find, findAll, make } from "./dom.js";
import { Sums, formatMinor, parseMinor } from "./money.js";
import { say } from "./texts.js";

export function init(scope) {
  const inputs = findAll("[data-amt]", scope);
  const { form } = inputs[0];
  const show = () => check(form, inputs);
  inputs.forEach((input) => input.addEventListener("input", show));
  show();
}

function check(form, inputs) {
  const sums = new Sums();
  let wrong = 0;
  for (const input of inputs) {
    const exponent = Number(input.dataset.exp);
    const minor = parseMinor(input.value, exponent);
    const problem = problemOf(minor, BigInt(input.dataset.max), exponent, inputs.length === 1);
    tell(input, problem);
    if (problem) wrong += 1;
    else if (minor > 0n) sums.add(input.dataset.cur, minor, exponent);
  }
  nameButton(find("[data-refund-submit], .form-actions button", form), sums, inputs.length, wrong);
  find("[data-totals]", form)?.replaceChildren(...sums.all().map(total));
}

function problemOf(minor, most, exponent, isOnly) {
  if (minor === null) return exponent ? say("Use a number with up to {number} decimals", { number: exponent }) : say("Use a whole number");
  if (minor > most) return say("More than the {amount} left", { amount: formatMinor(most, exponent) });
  return minor === 0n && isOnly ? say("Enter an amount above zero") : "";
}

function tell(input, problem) {
  const place = find("[data-err]", input.closest("td, .field"));
  place.textContent = problem;
  place.hidden = !problem;
  if (problem) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

function nameButton(button, sums, inputs, wrong) {
  const { count } = sums;
  button.textContent = say("Refund {what}", { what: inputs === 1 ? sums.text() : payments(count) }).trim();
  button.disabled = wrong > 0 || count === 0;
}

function total(sum) {
  const label = make("span", { className: "muted", textContent: `${sum.unit} · ${payments(sum.count)}` });
  const value = make("b", { textContent: formatMinor(sum.minor, sum.exponent) });
  return make("div", { className: "total" }, label, value);
}

const payments = (count) => (count === 1 ? say("{number} payment", { number: 1 }) : say("{number} payments", { number: count }));
