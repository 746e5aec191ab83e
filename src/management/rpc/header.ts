/** The framing of the Language Server Protocol 3.17, "Base Protocol": header fields, an empty line, JSON. */

const CRLF = '\r\n';
export const HEADER_END = Buffer.from('\r\n\r\n');

/** Octets a header may hold: visible ASCII, space and tab. Anything else is not this protocol. */
const lawful = /^[\x20-\x7e\t]*$/;
const digits = /^\d{1,15}$/;

/** The peer does not speak the protocol: where the next message begins is not known. */
export class FramingError extends Error {
  override readonly name = 'FramingError';
}

export function headerOf(length: number): string {
  return `Content-Length: ${length}${CRLF}${CRLF}`;
}

/** Content-Length of a header, without its empty line. Throws FramingError. */
export function contentLength(header: string): number {
  let length: number | undefined;
  for (const line of header.split(CRLF)) {
    const colon = line.indexOf(':');
    if (!lawful.test(line) || colon < 1) throw new FramingError('expected "Content-Length: N"');
    if (line.slice(0, colon).toLowerCase() !== 'content-length') continue;
    const value = line.slice(colon + 1).trim();
    if (length !== undefined || !digits.test(value)) {
      throw new FramingError(`Content-Length: ${JSON.stringify(value)} is no length`);
    }
    length = Number(value);
  }
  if (length === undefined) throw new FramingError('a header without Content-Length');
  return length;
}
