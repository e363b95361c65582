// The few DOM words that every module uses.

export const find = (selector, root = document) => root.querySelector(selector);
export const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

const SVG = "http://www.w3.org/2000/svg";
const own = new URL(import.meta.url);
const sprite = new URL(`../icons.svg${own.search}`, own).href;

/** Make an element: `props` that the element knows are set as properties, others as attributes. */
export function make(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** An icon of the sprite. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "i");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
}

/** Say something to screen readers without moving the focus. */
export function announce(text) {
  const place = find("#announce");
  if (place) place.textContent = text;
}

/** The nodes of an HTML fragment from our own server; scripts in it never run. */
export function parse(html) {
  return new DOMParser().parseFromString(html, "text/html");
}

/** True for a click that the browser should treat as "open in a new tab". */
export const wantsNewTab = (event) => event.ctrlKey || event.metaKey || event.shiftKey || event.button > 0;
