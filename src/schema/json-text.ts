import { parseJson, stringifyJson } from '../json.ts';

const unsafeInHtml = /[<>&\u2028\u2029]/g;

/**
 * JSON as Go's encoder writes it: `<`, `>`, `&` and the two line separators are escaped (they can
 * only occur inside strings). Both real sides do so for JSON that is embedded in a string, the
 * guest for the whole message; peers compare bytes in their tests and logs.
 */
export function encodeJson(value: unknown): string {
  const text = stringifyJson(value);
  return unsafeInHtml.test(text)
    ? text.replace(unsafeInHtml, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
    : text;
}

/** Only JSON's own white space counts (RFC 8259 section 2). */
const onlySpace = /^[\t\n\r ]*$/;

/**
 * Parses the JSON of a message or of a string inside one; integers stay exact. Throws SyntaxError,
 * also for anything but white space after the value.
 */
export function decodeJson(text: string): unknown {
  if (onlySpace.test(text)) throw new SyntaxError('unexpected end of JSON input');
  return parseJson(text);
}
