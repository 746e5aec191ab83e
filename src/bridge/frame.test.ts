import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeFrame, type Frame, FrameDecoder, FrameError } from './frame.ts';

/** A complete message from the host: a Start (0x10100201), id 0, with Go's newline at the end. */
const startBytes = Buffer.concat([
  Buffer.from('01021010240000000000000000000000', 'hex'),
  Buffer.from('{"ContainerId":"c"}\n'),
]);

function decodeAll(decoder: FrameDecoder, chunks: readonly Buffer[]): Frame[] {
  // A payload is valid until the next chunk, so it is copied here.
  return chunks.flatMap((chunk) =>
    [...decoder.push(chunk)].map((frame) => ({ ...frame, payload: Buffer.from(frame.payload) })),
  );
}

function failureOf(decoder: FrameDecoder, bytes: Buffer): FrameError {
  try {
    for (const _ of decoder.push(bytes));
  } catch (error) {
    if (error instanceof FrameError) return error;
    throw error;
  }
  throw new Error('the decoder accepted it');
}

function header(type: number, size: number, id: bigint): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(size, 4);
  bytes.writeBigUInt64LE(id, 8);
  return bytes;
}

const frames = fc.array(
  fc.record({
    type: fc.nat(0xffffffff),
    id: fc.bigInt(0n, 2n ** 64n - 1n),
    payload: fc.string({ maxLength: 300, unit: 'binary' }),
  }),
  { minLength: 1, maxLength: 8 },
);

describe('encoding', () => {
  test('a reply is these bytes', () => {
    expect(encodeFrame(0x20100201, 258n, '{"Result":0}').toString('hex')).toBe(
      `010210201c0000000201000000000000${Buffer.from('{"Result":0}').toString('hex')}`,
    );
  });

  test('the size counts bytes, not characters', () => {
    expect(encodeFrame(1, 0n, '"é€"').readUInt32LE(4)).toBe(16 + 7);
  });
});

describe('decoding', () => {
  test('a message of a real host', () => {
    const [frame] = decodeAll(new FrameDecoder(), [startBytes]);
    expect(frame?.type).toBe(0x10100201);
    expect(frame?.id).toBe(0n);
    expect(frame?.payload.toString()).toBe('{"ContainerId":"c"}\n');
  });

  test('any chunking gives the same messages', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 64 })), (messages, cuts) => {
        const stream = Buffer.concat(messages.map((m) => encodeFrame(m.type, m.id, m.payload)));
        const chunks: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          if (at >= stream.length) break;
          chunks.push(stream.subarray(at, at + cut));
          at += cut;
        }
        chunks.push(stream.subarray(at));
        const decoder = new FrameDecoder();
        const decoded = decodeAll(decoder, chunks);
        expect(decoded).toEqual(
          messages.map((m) => ({ type: m.type, id: m.id, payload: Buffer.from(m.payload) })),
        );
        expect(decoder.buffered).toBe(0);
      }),
    );
  });

  test('an incomplete message gives nothing and stays buffered', () => {
    fc.assert(
      fc.property(frames, fc.nat(), (messages, missing) => {
        const last = messages.at(-1);
        if (last === undefined) return;
        const stream = Buffer.concat(messages.map((m) => encodeFrame(m.type, m.id, m.payload)));
        const lastSize = 16 + Buffer.byteLength(last.payload);
        const short = stream.subarray(0, stream.length - 1 - (missing % (lastSize - 1)));
        const decoder = new FrameDecoder();
        expect(decodeAll(decoder, [short])).toHaveLength(messages.length - 1);
        expect(decoder.buffered).toBe(short.length - (stream.length - lastSize));
      }),
    );
  });

  test.each([0, 1, 15])('size %i is too small, before anything is allocated', (size) => {
    const decoder = new FrameDecoder();
    const error = failureOf(decoder, header(0x10100201, size, 7n));
    expect(error.code).toBe('too-small');
    expect(error.header).toEqual({ type: 0x10100201, id: 7n });
  });

  test.each([1001, 0x7fffffff, 0xffffffff])('size %i is above the limit', (size) => {
    const error = failureOf(new FrameDecoder(1000), header(0x10100101, size, 2n ** 64n - 1n));
    expect(error.code).toBe('too-large');
    expect(error.message).toContain(`invalid message size ${size}`);
    expect(error.header?.id).toBe(2n ** 64n - 1n);
  });

  test('the limit itself is accepted, with and without a payload', () => {
    const whole = encodeFrame(1, 0n, 'x'.repeat(984));
    expect(decodeAll(new FrameDecoder(1000), [whole])).toHaveLength(1);
    expect(decodeAll(new FrameDecoder(16), [header(1, 16, 0n)])).toHaveLength(1);
  });

  test('the messages before a wrong header still come out', () => {
    const decoder = new FrameDecoder();
    const bytes = Buffer.concat([encodeFrame(1, 5n, '{}'), header(1, 3, 6n)]);
    const seen: bigint[] = [];
    expect(() => {
      for (const frame of decoder.push(bytes)) seen.push(frame.id);
    }).toThrow(FrameError);
    expect(seen).toEqual([5n]);
  });

  test('memory follows the bytes that came, not the size a header claims', () => {
    const decoder = new FrameDecoder();
    expect(decodeAll(decoder, [header(1, 16 * 1024 * 1024, 0n), Buffer.alloc(100)])).toEqual([]);
    expect(decoder.buffered).toBe(116);
    expect(decoder.capacity).toBeLessThanOrEqual(2 * 116);
  });

  test('a message that drips in byte by byte is held once', () => {
    const decoder = new FrameDecoder();
    const whole = encodeFrame(1, 0n, 'x'.repeat(50_000));
    for (let i = 0; i < whole.length - 1; i++) {
      for (const _ of decoder.push(whole.subarray(i, i + 1))) throw new Error('too early');
    }
    expect(decoder.capacity).toBeLessThan(2 * whole.length);
    expect([...decoder.push(whole.subarray(-1))]).toHaveLength(1);
    expect(decoder.capacity).toBe(0);
  });
});
