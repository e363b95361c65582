// Forms that say what they would do: form[data-preview] asks its address while somebody types, and shows the answer.
import { find, findAll, parse } from "./dom.js";

const PAUSE = 250;
const HEADERS = { "X-Partial": "preview" };

export function init(scope) {
  for (const form of findAll("form[data-preview]", scope)) {
    let timer = 0;
    let asked = 0;
    form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(async () => {
        const mine = ++asked;
        const html = await ask(form);
        if (html !== null && mine === asked) {
          find(`#${form.dataset.previewInto}`)?.replaceChildren(...parse(html).body.childNodes);
        }
      }, PAUSE);
    });
  }
}

async function ask(form) {
  const values = new URLSearchParams(new FormData(form));
  values.delete("csrf_token");
  const address = `${form.dataset.preview}?${values}`;
  const response = await fetch(address, { headers: HEADERS, credentials: "same-origin" }).catch(() => null);
  return response?.ok ? response.text() : null;
}
