// Charts: BokehJS is fetched when the first one comes into view. It writes <style> elements into shadow roots, so they
// are given this page's nonce; that is all it needs under the strict content policy.
import { find, findAll, make } from "./dom.js";
import { say } from "./texts.js";

const BOKEH = new URL("../vendor/bokeh-3.9.2/bokeh.min.js", import.meta.url).href;
const TOOLTIP = `
:host {
  --tooltip-color: var(--raised); --tooltip-border: var(--border-strong); --tooltip-text: var(--text);
  --tooltip-arrow-color: transparent; --tooltip-arrow-inner-color: transparent;
  opacity: 1; border-radius: 8px; padding: 8px 10px !important; box-shadow: var(--shadow-lg);
}
.bk-tooltip-row-label { color: var(--text-2) !important; padding-right: 8px; }
.bk-tooltip-row-value { font-weight: 600; font-variant-numeric: tabular-nums; }`;

const NARROW = 480;
const views = new WeakMap();
let bokeh = null;
let number = 0;

export function init(scope) {
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        watcher.unobserve(entry.target);
        draw(entry.target);
      }
    },
    { rootMargin: "200px" },
  );
  findAll("[data-chart]", scope).forEach((box) => watcher.observe(box));
}

document.addEventListener("themechange", () => findAll("[data-chart]:not([aria-busy])").forEach(draw));

function loadBokeh() {
  bokeh ??= new Promise((resolve, reject) => {
    giveStylesTheNonce();
    const script = make("script", { src: BOKEH });
    script.addEventListener("error", () => {
      bokeh = null;
      reject(new Error("BokehJS could not be loaded"));
    });
    script.addEventListener("load", () => {
      window.Bokeh.set_log_level("warn");
      // Tooltip colours are fixed inside shadow roots; custom properties cross that border.
      window.Bokeh.require("styles/tooltips.css").default += TOOLTIP;
      resolve(window.Bokeh);
    });
    document.head.append(script);
  });
  return bokeh;
}

function giveStylesTheNonce() {
  const { nonce } = find('meta[name="csp-nonce"]');
  const create = document.createElement;
  document.createElement = function createWithNonce(tag, options) {
    const element = create.call(this, tag, options);
    if (String(tag).toLowerCase() === "style") element.nonce = nonce;
    return element;
  };
}

async function draw(box) {
  const url = new URL(box.dataset.chart, location.href);
  url.searchParams.set("theme", document.documentElement.dataset.theme);
  if (box.clientWidth < NARROW && url.pathname.endsWith(".json")) url.searchParams.set("narrow", "1");
  try {
    const [library, item] = await Promise.all([loadBokeh(), load(url)]);
    for (const view of views.get(box) ?? []) view.model?.document?.clear?.();
    box.replaceChildren();
    box.id ||= `chart-${(number += 1)}`;
    item.target_id = box.id;
    views.set(box, [...(await library.embed.embed_item(item, box.id))]);
    findAll(`[data-chart-png="${CSS.escape(box.id)}"]`).forEach((button) => (button.hidden = false));
  } catch (error) {
    console.warn(error);
    offerRetry(box);
  }
  box.removeAttribute("aria-busy");
}

async function load(url) {
  const response = await fetch(url, { credentials: "same-origin" });
  if (!response.ok) throw new Error(`the chart answered ${response.status}`);
  return response.json();
}

function offerRetry(box) {
  const again = make("button", { type: "button", className: "btn", textContent: say("Try again") });
  again.addEventListener("click", () => {
    box.setAttribute("aria-busy", "true");
    draw(box);
  });
  const text = make("p", { textContent: say("The chart could not be loaded.") });
  box.replaceChildren(make("div", { className: "empty" }, text, again));
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-chart-png]");
  const box = button && document.getElementById(button.dataset.chartPng);
  const [view] = (box && views.get(box)) ?? [];
  if (!view) return;
  const picture = withPaper(view.export("png", true).canvas);
  picture.toBlob((blob) => {
    const link = make("a", { href: URL.createObjectURL(blob), download: `${box.dataset.name ?? "chart"}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
  });
});

/** The picture on the page's own ground: charts are drawn on nothing, which other programs show as black. */
function withPaper(canvas) {
  const paper = make("canvas", { width: canvas.width, height: canvas.height });
  const brush = paper.getContext("2d");
  brush.fillStyle = getComputedStyle(document.body).backgroundColor;
  brush.fillRect(0, 0, paper.width, paper.height);
  brush.drawImage(canvas, 0, 0);
  return paper;
}
