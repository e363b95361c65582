// Long jobs: ask how far they are; rarely when nobody looks, less and less when nobody answers.
import { find, findAll, parse } from "./dom.js";
import { toast } from "./toasts.js";
import { say } from "./texts.js";

const OFTEN = 700;
const HIDDEN = 5000;
const RAREST = 8000;
// By this header the server knows that asking is nobody's act: it does not keep a session alive.
const HEADERS = { "X-Partial": "status" };

export function init(scope) {
  findAll("[data-poll]", scope).forEach(watch);
}

const sleep = (time) => new Promise((wake) => setTimeout(wake, time));
const isDone = (box) => find("[data-done='1']", box) !== null;

async function watch(box) {
  // What is only slow to work out is asked for at once, and nobody is told that it came.
  const now = box.dataset.pollNow !== undefined;
  let wait = now ? 0 : OFTEN;
  while (!isDone(box) && box.isConnected) {
    await sleep(document.hidden ? HIDDEN : wait);
    wait = (await refresh(box)) ? OFTEN : Math.min(wait * 2, RAREST);
  }
  if (box.dataset.pollReload !== undefined) location.reload();
  else if (!now) toast(say("The job has finished."));
}

async function refresh(box) {
  try {
    const response = await fetch(box.dataset.poll, { headers: HEADERS, credentials: "same-origin" });
    if (!response.ok) return false;
    box.replaceChildren(...parse(await response.text()).body.childNodes);
    return true;
  } catch {
    return false;
  }
}
