import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Frames } from './frames.ts';
import { FramingError, headerOf } from './header.ts';

const limits = { headerBytes: 64, messageBytes: 100_000 };

function bodies(...chunks: readonly (Buffer | string)[]): string[] {
  const frames = new Frames(limits);
  return chunks.flatMap((chunk) => [...frames.push(Buffer.from(chunk))].map(String));
}

function framed(body: string): string {
  return headerOf(Buffer.byteLength(body)) + body;
}

describe('messages', () => {
  test('are cut out of the stream however it is cut up', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }),
        (messages, cuts) => {
          const bytes = Buffer.concat(
            messages.flatMap((body) => [Buffer.from(headerOf(body.length)), body]),
          );
          const chunks: Buffer[] = [];
          for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
            const size = cuts[turn % cuts.length] ?? 1;
            chunks.push(bytes.subarray(at, at + size));
            at += size;
          }
          const frames = new Frames(limits);
          const seen = chunks.flatMap((chunk) => [...frames.push(chunk)]);
          expect(seen.map((body) => [...body])).toEqual(messages.map((body) => [...body]));
        },
      ),
    );
  });

  test('larger than the first room come whole', () => {
    const body = 'x'.repeat(99_999);
    const bytes = Buffer.from(framed(body));
    const chunks = [bytes.subarray(0, 40), bytes.subarray(40, 70_000), bytes.subarray(70_000)];
    expect(bodies(...chunks)).toEqual([body]);
  });

  test('of no length are messages', () => {
    expect(bodies(framed(''), framed('a'))).toEqual(['', 'a']);
  });

  test('may have other header fields, names in any case', () => {
    const header = 'content-LENGTH: 2\r\nContent-Type: application/json\r\n\r\n';
    expect(bodies(`${header}{}`)).toEqual(['{}']);
  });
});

describe('what is no message ends the stream', () => {
  test.each([
    ['a length beyond the bound', headerOf(100_001)],
    ['a length beyond every number', `Content-Length: ${'9'.repeat(30)}\r\n\r\n`],
    ['a negative length', 'Content-Length: -1\r\n\r\n'],
    ['a length in another base', 'Content-Length: 0x10\r\n\r\n'],
    ['two lengths', 'Content-Length: 1\r\nContent-Length: 1\r\n\r\n'],
    ['no length', 'Content-Type: application/json\r\n\r\n'],
    ['an empty header', '\r\n\r\n'],
    ['bytes of something else', Buffer.from([0xff, 0, 1, 2, 13, 10, 13, 10])],
    ['HTTP', 'GET / HTTP/1.1\r\n\r\n'],
    ['a header without an end', 'x'.repeat(64)],
  ])('%s', (_name, bytes) => {
    expect(() => bodies(bytes)).toThrow(FramingError);
  });

  test('a header that never ends is not kept beyond its bound, in whatever pieces it comes', () => {
    const frames = new Frames(limits);
    const drip = (): void => {
      for (let sent = 0; sent < 65; sent += 1) [...frames.push(Buffer.from('a'))];
    };
    expect(drip).toThrow('no end of the header within 64 bytes');
  });
});
