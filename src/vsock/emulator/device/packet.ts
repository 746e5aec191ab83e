/** Bytes of the header of every packet (virtio 1.2, 5.10.6). */
export const HEADER_BYTES = 44;

/** virtio 1.2, 5.10.6.1. */
export const op = {
  request: 1,
  response: 2,
  reset: 3,
  shutdown: 4,
  data: 5,
  creditUpdate: 6,
  creditRequest: 7,
} as const;

export const TYPE_STREAM = 1;
/** Flags of a shutdown, 5.10.6.1: the sender will … no more. */
export const SHUTDOWN_RECEIVE = 1;
export const SHUTDOWN_SEND = 2;
export const SHUTDOWN_BOTH = SHUTDOWN_RECEIVE | SHUTDOWN_SEND;

export const HOST_CID = 2;

export interface Header {
  sourceCid: number;
  destinationCid: number;
  sourcePort: number;
  destinationPort: number;
  length: number;
  type: number;
  op: number;
  flags: number;
  bufferAllocation: number;
  forwarded: number;
}

const scratch = new Uint8Array(HEADER_BYTES);
const view = new DataView(scratch.buffer);

// The upper half is reserved and zero; rounding of other values cannot give a valid number.
function cidAt(offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
}

/** The header at the start of a buffer; undefined when the buffer is shorter. Each byte is read once. */
export function readHeader(pieces: readonly Uint8Array[]): Header | undefined {
  let filled = 0;
  for (const piece of pieces) {
    if (filled === HEADER_BYTES) break;
    const part = piece.subarray(0, HEADER_BYTES - filled);
    scratch.set(part, filled);
    filled += part.length;
  }
  if (filled < HEADER_BYTES) return undefined;
  return {
    sourceCid: cidAt(0),
    destinationCid: cidAt(8),
    sourcePort: view.getUint32(16, true),
    destinationPort: view.getUint32(20, true),
    length: view.getUint32(24, true),
    type: view.getUint16(28, true),
    op: view.getUint16(30, true),
    flags: view.getUint32(32, true),
    bufferAllocation: view.getUint32(36, true),
    forwarded: view.getUint32(40, true),
  };
}

/** Writes a header at the start of a buffer that has room for it. */
export function writeHeader(pieces: readonly Uint8Array[], header: Header): void {
  view.setUint32(0, header.sourceCid, true);
  view.setUint32(4, 0, true);
  view.setUint32(8, header.destinationCid, true);
  view.setUint32(12, 0, true);
  view.setUint32(16, header.sourcePort, true);
  view.setUint32(20, header.destinationPort, true);
  view.setUint32(24, header.length, true);
  view.setUint16(28, header.type, true);
  view.setUint16(30, header.op, true);
  view.setUint32(32, header.flags, true);
  view.setUint32(36, header.bufferAllocation, true);
  view.setUint32(40, header.forwarded, true);
  let written = 0;
  for (const piece of pieces) {
    const part = scratch.subarray(written, Math.min(HEADER_BYTES, written + piece.length));
    piece.set(part);
    written += part.length;
    if (written === HEADER_BYTES) return;
  }
}

/** `length` bytes of a buffer behind the first `skip` ones, or as many as there are. */
export function slice(pieces: readonly Uint8Array[], skip: number, length: number): Uint8Array[] {
  const result: Uint8Array[] = [];
  let before = skip;
  let rest = length;
  for (const piece of pieces) {
    if (rest === 0) break;
    const part = piece.subarray(before, before + rest);
    before = Math.max(0, before - piece.length);
    rest -= part.length;
    if (part.length > 0) result.push(part);
  }
  return result;
}

export function totalLength(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}
