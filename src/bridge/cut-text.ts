import { encodeJson } from '../schema/json-text.ts';

/** Bytes of a text inside a JSON string, without the quotes. */
export function encodedBytes(text: string): number {
  return Buffer.byteLength(encodeJson(text)) - 2;
}

/** Longest prefix (or suffix) of `text` that takes at most `bytes` bytes in a JSON string. */
function longestEnd(text: string, bytes: number, from: 'start' | 'end'): string {
  const take = (length: number): string =>
    from === 'start' ? text.slice(0, length) : text.slice(text.length - length);
  let fits = 0;
  // A UTF-16 unit takes a byte at least, so nothing longer needs to be tried.
  let tooLong = Math.min(text.length, bytes) + 1;
  while (tooLong - fits > 1) {
    const middle = (fits + tooLong) >> 1;
    if (encodedBytes(take(middle)) <= bytes) fits = middle;
    else tooLong = middle;
  }
  // Half a surrogate pair at the cut would be written as an escape of its own.
  return from === 'start'
    ? take(fits).replace(/[\ud800-\udbff]$/, '')
    : take(fits).replace(/^[\udc00-\udfff]/, '');
}

/**
 * Cuts a text to at most `bytes` bytes of JSON string and says so. `keep: 'ends'` cuts the
 * middle: an error begins with what was done and ends with the cause.
 */
export function cutText(text: string, bytes: number, keep: 'start' | 'ends'): string {
  if (text.length <= bytes && encodedBytes(text) <= bytes) return text;
  const note = ` …[cut, ${Buffer.byteLength(text)} bytes in all]… `;
  const room = Math.max(0, bytes - encodedBytes(note));
  if (keep === 'start') return longestEnd(text, room, 'start') + note;
  const tail = Math.floor(room / 4);
  return longestEnd(text, room - tail, 'start') + note + longestEnd(text, tail, 'end');
}
