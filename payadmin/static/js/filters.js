// Filter forms work without this; presets fill the two dates and send the form.
import { findAll } from "./dom.js";

document.addEventListener("click", (event) => {
  const preset = event.target.closest("[data-preset-from]");
  const form = preset?.closest("form");
  if (!form) return;
  const [from, to] = findAll("input[type=date]", form);
  from.value = preset.dataset.presetFrom;
  to.value = preset.dataset.presetTo;
  form.requestSubmit();
});
