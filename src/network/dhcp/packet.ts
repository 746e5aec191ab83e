/** IPv4 and UDP around a DHCP message: RFC 791, RFC 768. */

const IP_BYTES = 20;
const UDP_BYTES = 8;
const PROTOCOL_UDP = 17;
const CLIENT_PORT = 68;
const SERVER_PORT = 67;

/** Internet checksum, RFC 1071. */
function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) {
      sum += ((part[at] ?? 0) << 8) | (part[at + 1] ?? 0);
    }
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An IP packet from port 68 to port 67. Addresses of four bytes. */
export function wrap(source: Uint8Array, destination: Uint8Array, payload: Uint8Array): Uint8Array {
  const packet = Buffer.alloc(IP_BYTES + UDP_BYTES + payload.length);
  packet[0] = 0x45;
  packet.writeUInt16BE(packet.length, 2);
  packet[8] = 64;
  packet[9] = PROTOCOL_UDP;
  packet.set(source, 12);
  packet.set(destination, 16);
  packet.writeUInt16BE(checksum(packet.subarray(0, IP_BYTES)), 10);
  packet.writeUInt16BE(CLIENT_PORT, 20);
  packet.writeUInt16BE(SERVER_PORT, 22);
  packet.writeUInt16BE(UDP_BYTES + payload.length, 24);
  packet.set(payload, IP_BYTES + UDP_BYTES);
  const pseudo = Buffer.from([0, PROTOCOL_UDP, ...packet.subarray(24, 26)]);
  const sum = checksum(source, destination, pseudo, packet.subarray(IP_BYTES));
  packet.writeUInt16BE(sum === 0 ? 0xffff : sum, 26);
  return packet;
}

/**
 * The payload of a datagram to port 68; undefined for any other packet. The UDP checksum is not
 * looked at: of a server behind a virtual link the kernel hands over packets before it is made.
 */
export function unwrap(packet: Uint8Array): Uint8Array | undefined {
  const bytes = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength);
  if (bytes.length < IP_BYTES || (bytes.readUInt8(0) & 0xf0) !== 0x40) return undefined;
  const header = 4 * (bytes.readUInt8(0) & 0x0f);
  const total = bytes.readUInt16BE(2);
  if (header < IP_BYTES || total > bytes.length || total < header + UDP_BYTES) return undefined;
  if (bytes.readUInt8(9) !== PROTOCOL_UDP || (bytes.readUInt16BE(6) & 0x3fff) !== 0)
    return undefined;
  if (checksum(bytes.subarray(0, header)) !== 0) return undefined;
  if (bytes.readUInt16BE(header + 2) !== CLIENT_PORT) return undefined;
  const length = bytes.readUInt16BE(header + 4);
  if (length < UDP_BYTES || header + length > total) return undefined;
  return bytes.subarray(header + UDP_BYTES, header + length);
}
