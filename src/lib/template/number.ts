import { goQuote } from "./quote.ts";
import { Float, integer } from "./values.ts";

const MAX_INT64 = 2n ** 63n - 1n;
const MAX_UINT64 = 2n ** 64n - 1n;
const MIN_INT64 = -(2n ** 63n);
const INTEGER = /^[+-]?(0[xX](_?[0-9a-fA-F])+|0[bB](_?[01])+|0[oO]?(_?[0-7])+|0|[1-9](_?[0-9])*)$/;
const FLOAT = /^[+-]?([0-9](_?[0-9])*(\.([0-9](_?[0-9])*)?)?|\.[0-9](_?[0-9])*)([eE][+-]?[0-9]+)?$/;

/** A number of a template; the sentence of the error when it is none. Complex numbers are refused: nothing takes them. */
export function parseNumber(text: string): { value: unknown; isInt: boolean } | string {
  if (INTEGER.test(text)) {
    const negative = text.startsWith("-");
    let digits = text.replace(/^[+-]/, "").replaceAll("_", "");
    if (/^0[0-7]+$/.test(digits)) digits = `0o${digits.slice(1)}`;
    const size = BigInt(digits);
    const value = negative ? -size : size;
    if (value > MAX_UINT64 || value < MIN_INT64) return `integer overflow: ${goQuote(text)}`;
    return { value: integer(value), isInt: value <= MAX_INT64 };
  }
  if (!FLOAT.test(text)) return `illegal number syntax: ${goQuote(text)}`;
  const value = Number(text.replaceAll("_", ""));
  return { value: new Float(value), isInt: Number.isSafeInteger(value) };
}
