// A till counted by notes and coins: they add up to the sum above them. The server adds up by itself, without this too.
import { find, findAll } from "./dom.js";
import { decimalOf } from "./money.js";

export function init(scope) {
  for (const box of findAll("[data-count]", scope)) {
    const sum = find("[data-count-sum]", box);
    const pieces = findAll("[data-count-piece]", box);
    const exponent = Number(box.dataset.exp);
    for (const piece of pieces) {
      piece.addEventListener("input", () => {
        const minor = added(pieces);
        if (minor !== null) sum.value = decimalOf(minor, exponent);
      });
    }
  }
}

/** What the pieces come to in minor units; null while one of them is no whole number, or none is typed. */
function added(pieces) {
  const typed = pieces.filter((piece) => piece.value.trim() !== "");
  if (!typed.length || !typed.every((piece) => /^\d{1,7}$/.test(piece.value.trim()))) return null;
  return typed.reduce((sum, piece) => sum + BigInt(piece.dataset.countPiece) * BigInt(piece.value.trim()), 0n);
}
