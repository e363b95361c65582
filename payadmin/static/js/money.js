// Amounts in minor units, as BigInt: no sum is ever a float.

/** "1234.5" with exponent 2 becomes 123450n; null if it is not an amount. */
export function parseMinor(text, exponent) {
  const plain = text.replace(/[\s,]/g, "");
  if (!/^\d+(\.\d+)?$/.test(plain)) return null;
  const [whole, decimals = ""] = plain.split(".");
  if (decimals.length > exponent) return null;
  return BigInt(whole + decimals.padEnd(exponent, "0"));
}

const { group = ",", decimal = "." } = document.documentElement.dataset;

/** 123450n with exponent 2 becomes "1,234.50", or as the page's language writes it. */
export function formatMinor(minor, exponent) {
  const digits = String(minor).padStart(exponent + 1, "0");
  const cut = digits.length - exponent;
  const whole = digits.slice(0, cut).replace(/\B(?=(\d{3})+$)/g, group);
  return exponent ? `${whole}${decimal}${digits.slice(cut)}` : whole;
}

/** Adds amounts per unit; units are never mixed. */
export class Sums {
  #units = new Map();

  add(unit, minor, exponent) {
    const sum = this.#units.get(unit) ?? { unit, minor: 0n, exponent, count: 0 };
    sum.minor += minor;
    sum.count += 1;
    this.#units.set(unit, sum);
  }

  get count() {
    return this.all().reduce((total, sum) => total + sum.count, 0);
  }

  all() {
    return [...this.#units.values()];
  }

  text() {
    return this.all()
      .map((sum) => `${formatMinor(sum.minor, sum.exponent)} ${sum.unit}`)
      .join(" · ");
  }
}

/** 123450n with exponent 2 becomes "1234.50": as an input holds it. */
export function decimalOf(minor, exponent) {
  const digits = String(minor).padStart(exponent + 1, "0");
  const cut = digits.length - exponent;
  return exponent ? `${digits.slice(0, cut)}.${digits.slice(cut)}` : digits;
}
