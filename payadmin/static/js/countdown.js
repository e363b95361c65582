// Personal data that is shown for a while: says how long, and masks it by loading the page again when the time is over.
import { find, findAll } from "./dom.js";
import { say } from "./texts.js";

const SECOND = 1000;

export function init(scope) {
  findAll("[data-countdown]", scope).forEach((box) => {
    const end = performance.now() + Number(box.dataset.countdown) * SECOND;
    const left = find("[data-left]", box);
    const tick = () => {
      const seconds = Math.ceil((end - performance.now()) / SECOND);
      if (seconds <= 0) {
        location.reload();
        return;
      }
      const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      left.textContent = ` ${say("({time} left)", { time })}`;
      setTimeout(tick, SECOND);
    };
    tick();
  });
}
