/** An IPv4 or IPv6 address, checked. */
export interface IpAddress {
  readonly family: 4 | 6;
  /** 4 or 16, in network order. */
  readonly bytes: Uint8Array;
}

/** A range of addresses: no bit is set behind the first `length`. */
export interface IpPrefix {
  readonly address: IpAddress;
  readonly length: number;
}

/** Bits of an address of the family. */
export function bitsOf(family: 4 | 6): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** Undefined for anything but four decimal numbers (without leading zeros, which some read as octal) or RFC 4291 section 2.2; no zone. */
export function parseAddress(text: string): IpAddress | undefined {
  if (text.length > 45) return undefined;
  const bytes = text.includes(':') ? parseV6(text) : parseV4(text);
  if (bytes === undefined) return undefined;
  return { family: bytes.length === 4 ? 4 : 6, bytes: Uint8Array.from(bytes) };
}

function parseV4(text: string): number[] | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part))) {
    return undefined;
  }
  const bytes = parts.map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : undefined;
}

function parseV6(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, index) => groups(half, index === halves.length - 1));
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  // "::" stands for at least one group of zeros.
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  return [...head, ...new Array<number>(16 - head.length - tail.length).fill(0), ...tail];
}

/** The bytes of "1:2:3", or of "1:2:192.0.2.1" at the end of an address. */
function groups(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (last && index === parts.length - 1 && part.includes('.')) {
      const quad = parseV4(part);
      if (quad === undefined) return undefined;
      bytes.push(...quad);
      continue;
    }
    if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
    const value = Number.parseInt(part, 16);
    bytes.push(value >> 8, value & 0xff);
  }
  return bytes;
}

/** As RFC 5952 writes it. */
export function formatAddress({ family, bytes }: IpAddress): string {
  if (family === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  let [start, length] = [0, 0];
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (end < 8 && words[end] === '0') end++;
    if (end - at > length) [start, length] = [at, end - at];
  }
  if (length < 2) return words.join(':');
  return `${words.slice(0, start).join(':')}::${words.slice(start + length).join(':')}`;
}

export function formatPrefix({ address, length }: IpPrefix): string {
  return `${formatAddress(address)}/${length}`;
}

/** The range of the first `length` bits of an address. */
export function prefixOf(address: IpAddress, length: number): IpPrefix {
  const bytes = address.bytes.map((byte, index) => {
    const kept = Math.min(Math.max(length - 8 * index, 0), 8);
    return byte & (0xff00 >> kept) & 0xff;
  });
  return { address: { family: address.family, bytes }, length };
}

/** The highest address of a range: what IPv4 broadcasts to. */
export function lastOf({ address, length }: IpPrefix): IpAddress {
  const bytes = address.bytes.map((byte, index) => {
    const kept = Math.min(Math.max(length - 8 * index, 0), 8);
    return byte | (0xff >> kept);
  });
  return { family: address.family, bytes };
}

export function sameAddress(a: IpAddress, b: IpAddress): boolean {
  return a.family === b.family && a.bytes.every((byte, index) => byte === b.bytes[index]);
}

export function contains(prefix: IpPrefix, address: IpAddress): boolean {
  return (
    prefix.address.family === address.family &&
    sameAddress(prefixOf(address, prefix.length).address, prefix.address)
  );
}

export function isUnspecified({ bytes }: IpAddress): boolean {
  return bytes.every((byte) => byte === 0);
}

/** RFC 5771, RFC 4291 section 2.7. */
export function isMulticast({ family, bytes }: IpAddress): boolean {
  const first = bytes[0] ?? 0;
  return family === 4 ? first >= 224 && first < 240 : first === 0xff;
}

/** fe80::/10: reached without a route, on the link that is asked for. */
export function isLinkLocalV6({ family, bytes }: IpAddress): boolean {
  return family === 6 && bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}
