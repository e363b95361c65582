// What scripts say, in the page's language: the page brings what differs from the English (templates/_head.html).
import { find } from "./dom.js";

const place = find("#texts");
const texts = place ? JSON.parse(place.textContent) : {};

/** The text in the page's language; `{name}` stands for the value of that name. */
export function say(english, values = {}) {
  const text = texts[english] ?? english;
  return text.replace(/\{(\w+)\}/g, (mark, name) => (name in values ? String(values[name]) : mark));
}
