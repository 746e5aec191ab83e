/** DHCP messages: RFC 2131 section 2, options of RFC 2132 and RFC 3442. */

const BOOTREQUEST = 1;
const BOOTREPLY = 2;
const ETHERNET = 1;
const FIXED_BYTES = 236;
const COOKIE = 0x63825363;
/** Some relays drop what is shorter (RFC 951). */
const SMALLEST_MESSAGE = 300;
/** What we can receive, option 57. */
const LARGEST_MESSAGE = 1500;

export const DhcpOption = {
  mask: 1,
  router: 3,
  dns: 6,
  domain: 15,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  type: 53,
  server: 54,
  parameters: 55,
  largestMessage: 57,
  t1: 58,
  t2: 59,
  clientId: 61,
  routes: 121,
} as const;
const PAD = 0;
const END = 255;

export const DhcpType = { discover: 1, offer: 2, request: 3, ack: 5, nak: 6, release: 7 } as const;

/** Asked for by every message that asks at all. */
const parameters = [
  DhcpOption.routes,
  DhcpOption.mask,
  DhcpOption.router,
  DhcpOption.dns,
  DhcpOption.domain,
  DhcpOption.leaseTime,
  DhcpOption.t1,
  DhcpOption.t2,
];

export interface Outgoing {
  readonly type: number;
  readonly transaction: number;
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** The address we have, when the server is to answer to it. */
  readonly clientAddress?: Uint8Array;
  /** Options 50 and 54. */
  readonly requestedAddress?: Uint8Array | undefined;
  readonly server?: Uint8Array | undefined;
}

function option(code: number, value: Uint8Array | readonly number[]): number[] {
  return [code, value.length, ...value];
}

export function encodeMessage(message: Outgoing): Uint8Array {
  const { type, transaction, mac, clientAddress, requestedAddress, server } = message;
  const fixed = Buffer.alloc(FIXED_BYTES + 4);
  fixed.set([BOOTREQUEST, ETHERNET, mac.length, 0]);
  fixed.writeUInt32BE(transaction, 4);
  if (clientAddress !== undefined) fixed.set(clientAddress, 12);
  fixed.set(mac, 28);
  fixed.writeUInt32BE(COOKIE, FIXED_BYTES);
  const options = option(DhcpOption.type, [type]);
  options.push(...option(DhcpOption.clientId, [ETHERNET, ...mac]));
  if (requestedAddress !== undefined) {
    options.push(...option(DhcpOption.requestedAddress, requestedAddress));
  }
  if (server !== undefined) options.push(...option(DhcpOption.server, server));
  if (type !== DhcpType.release) {
    const size = [LARGEST_MESSAGE >> 8, LARGEST_MESSAGE & 0xff];
    options.push(...option(DhcpOption.largestMessage, size));
    options.push(...option(DhcpOption.parameters, parameters));
  }
  const bytes = Buffer.concat([fixed, Uint8Array.from([...options, END])]);
  const padding = Math.max(0, SMALLEST_MESSAGE - bytes.length);
  return Buffer.concat([bytes, Buffer.alloc(padding)]);
}

export interface Incoming {
  readonly type: number;
  /** yiaddr, four bytes. */
  readonly yourAddress: Uint8Array;
  /** Values of options that came in parts are joined (RFC 3396). */
  readonly options: ReadonlyMap<number, Uint8Array>;
}

/** A reply to this client in this transaction; undefined for everything else. */
export function decodeMessage(
  bytes: Uint8Array,
  expected: { readonly transaction: number; readonly mac: Uint8Array },
): Incoming | undefined {
  const message = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (message.length < FIXED_BYTES + 4 || message.readUInt8(0) !== BOOTREPLY) return undefined;
  if (message.readUInt32BE(4) !== expected.transaction) return undefined;
  if (!message.subarray(28, 34).equals(expected.mac)) return undefined;
  if (message.readUInt32BE(FIXED_BYTES) !== COOKIE) return undefined;
  const parts: [number, Buffer][] = [...optionsOf(message.subarray(FIXED_BYTES + 4))];
  // The fields for a file and a server name hold more options when option 52 says so.
  const overload = parts.find(([code]) => code === DhcpOption.overload)?.[1][0] ?? 0;
  if ((overload & 1) !== 0) parts.push(...optionsOf(message.subarray(108, FIXED_BYTES)));
  if ((overload & 2) !== 0) parts.push(...optionsOf(message.subarray(44, 108)));
  const options = new Map<number, Uint8Array>();
  for (const [code, value] of parts) {
    options.set(code, Buffer.concat([options.get(code) ?? new Uint8Array(), value]));
  }
  const type = options.get(DhcpOption.type)?.[0];
  if (type === undefined) return undefined;
  return { type, yourAddress: Uint8Array.from(message.subarray(16, 20)), options };
}

function* optionsOf(bytes: Buffer): Generator<[number, Buffer]> {
  for (let at = 0; at < bytes.length; ) {
    const code = bytes[at] ?? END;
    if (code === END) return;
    if (code === PAD) {
      at++;
      continue;
    }
    const end = at + 2 + (bytes[at + 1] ?? 0);
    if (at + 1 >= bytes.length || end > bytes.length) return;
    yield [code, bytes.subarray(at + 2, end)];
    at = end;
  }
}
