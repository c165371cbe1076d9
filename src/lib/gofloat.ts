/**
 * Floats as Go's `%e`, `%f` and `%g` print them. Docker's sizes and templates are printed with those verbs.
 */

/** From here on the shortest form has an exponent. */
const SHORTEST_EXPONENT = 6;

/** `%.<digits>e`: at least two digits in the exponent. Without digits the shortest that reads back the same. */
export function formatExponent(value: number, digits?: number): string {
  const special = formatSpecial(value);
  if (special !== undefined) return special;
  const text = digits === undefined ? value.toExponential() : value.toExponential(Math.min(digits, 100));
  const [mantissa = "", exponent = "+0"] = text.split("e");
  const sign = Object.is(value, -0) ? "-" : "";
  return `${sign}${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

/** `%.<digits>f`; without digits the shortest that reads back the same, never with an exponent. */
export function formatFixed(value: number, digits?: number): string {
  const special = formatSpecial(value);
  if (special !== undefined) return special;
  if (digits !== undefined && Math.abs(value) < 1e21) {
    const text = value.toFixed(Math.min(digits, 100));
    return Object.is(value, -0) ? `-${text}` : text;
  }
  const [mantissa = "", exponentText = "+0"] = value.toExponential().split("e");
  const exponent = Number(exponentText);
  const negative = mantissa.startsWith("-") || Object.is(value, -0);
  const figures = mantissa.replace("-", "").replace(".", "");
  let whole = exponent < 0 ? "0" : figures.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  let fraction = exponent < 0 ? "0".repeat(-exponent - 1) + figures : figures.slice(exponent + 1);
  if (value === 0) [whole, fraction] = ["0", ""];
  if (digits !== undefined) fraction = fraction.padEnd(digits, "0").slice(0, digits);
  return `${negative ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}`;
}

/**
 * `%.<digits>g`: significant digits, trailing zeros dropped, an exponent when it is below -4 or not below `digits`.
 * Without digits: the shortest form that reads back the same, as `%v` prints it: 100000 but 1e+06.
 */
export function formatGeneral(value: number, digits?: number): string {
  const special = formatSpecial(value);
  if (special !== undefined) return special;
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  if (digits === undefined) {
    const exponent = Number(value.toExponential().split("e")[1]);
    return exponent < -4 || exponent >= SHORTEST_EXPONENT ? formatExponent(value) : formatFixed(value);
  }
  const precision = Math.max(1, Math.min(digits, 100));
  const [mantissa = "", exponentText = "+0"] = value.toExponential(precision - 1).split("e");
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= precision) return `${dropZeros(mantissa)}e${twoDigits(exponentText)}`;
  return dropZeros(value.toFixed(Math.max(0, precision - 1 - exponent)));
}

function formatSpecial(value: number): string | undefined {
  if (Number.isNaN(value)) return "NaN";
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return undefined;
}

function dropZeros(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function twoDigits(exponent: string): string {
  return `${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}
