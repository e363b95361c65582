// Parts that only some pages have: each is fetched when the page, or a dialog that opens, contains it.
import { find } from "./dom.js";

const PARTS = [
  ["[data-amt]", () => import("./refund.js")],
  ["[data-poll]", () => import("./polling.js")],
  ["[data-live]", () => import("./live.js")],
  ["form[data-preview]", () => import("./preview.js")],
  ["[data-picker], [data-picker-url]", () => import("./pickers.js")],
  ["[data-schedule]", () => import("./schedule.js")],
  ["form[data-columns]", () => import("./columns.js")],
  ["[data-countdown]", () => import("./countdown.js")],
  ["[data-drop]", () => import("./dropzone.js")],
  ["[data-chart]", () => import("./charts.js")],
  ["[data-order]", () => import("./order.js")],
  ["[data-conditions]", () => import("./conditions.js")],
  ["[data-count]", () => import("./count.js")],
];

// Returns a promise that all of them work.
export function initParts(scope) {
  const needed = PARTS.filter(([selector]) => find(selector, scope));
  return Promise.all(needed.map(async ([, load]) => (await load()).init(scope)));
}
