/**
 * JSON that keeps integers exact (RFC 8259 sets no range): an integer outside ±(2^53-1) is parsed
 * to a bigint, and a bigint is written as a plain integer.
 *
 * What a JavaScript number cannot hold at all (1e400, an integer of more than 308 digits) is kept as
 * written, as a JSON.rawJSON object, so that an unknown field survives and a known one fails its
 * type check. Other fractions become the nearest double, as everywhere.
 */

/** The parts of JSON (source text access, ES2026) that TypeScript's own types lack. */
type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown;
const json = JSON as unknown as {
  parse(text: string, reviver?: Reviver): unknown;
  /** An object that stringify writes as the given text. */
  rawJSON(text: string): object;
};

/** Nesting allowed, as RFC 8259 section 9 lets a parser limit it: recursion over a value stays safe. */
const MAX_DEPTH = 1000;

/** Without 16 digits in a row, or an exponent that could reach infinity, no number needs care. */
const suspicious = /\d{16}|\d[eE]\+?\d{2}/;
const integer = /^-?\d+$/;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Index of the quote that ends the string which starts at `open`, or the text's end. */
function endOfString(text: string, open: number): number {
  for (let index = open + 1; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === BACKSLASH) index++;
    else if (code === QUOTE) return index;
  }
  return text.length;
}

/** Before parsing, so that a bomb costs no memory; what is no JSON at all is left to the parser. */
function checkDepth(text: string): void {
  // Each level takes an opening and a closing character.
  if (text.length < 2 * MAX_DEPTH) return;
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) index = endOfString(text, index);
    else if (code === OPEN_BRACKET || code === OPEN_BRACE) depth++;
    else if (code === CLOSE_BRACKET || code === CLOSE_BRACE) depth--;
    if (depth > MAX_DEPTH) throw new SyntaxError(`JSON nested deeper than ${MAX_DEPTH} levels`);
  }
}

const exactNumber: Reviver = (_key, value, { source }) => {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  if (source === undefined) return value;
  if (!Number.isFinite(value)) return json.rawJSON(source);
  return integer.test(source) ? BigInt(source) : value;
};

/**
 * Parses one JSON text. Throws SyntaxError for anything else, also for one nested deeper than 1000
 * levels. Of a name that occurs twice the last wins; `__proto__` is a name like any other.
 */
export function parseJson(text: string): unknown {
  checkDepth(text);
  return suspicious.test(text) ? json.parse(text, exactNumber) : json.parse(text);
}

function plainInteger(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? json.rawJSON(value.toString()) : value;
}

/**
 * Writes one value. Throws TypeError for what is not JSON at its top (undefined, a function, a
 * symbol), and for cycles. `indent`: spaces for each level, a line for each value; default none.
 */
export function stringifyJson(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, plainInteger, indent) as string | undefined;
  if (text === undefined) throw new TypeError(`${typeof value} is no JSON value`);
  return text;
}
