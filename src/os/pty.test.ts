import { constants, readSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openFile } from './pipe.ts';
import { getWindowSize, openPty, setWindowSize } from './pty.ts';

describe('pty', () => {
  test('has the size asked for, seen from both ends, and can be resized', () => {
    const { master, path } = openPty({ width: 132, height: 43 });
    using _m = master;
    expect(path).toMatch(/^\/dev\/pts\/\d+$/);
    using slave = openFile(path, constants.O_RDWR | constants.O_NOCTTY);
    expect(getWindowSize(slave)).toEqual({ width: 132, height: 43 });
    setWindowSize(master, { width: 65535, height: 0 });
    expect(getWindowSize(slave.raw)).toEqual({ width: 65535, height: 0 });
  });

  test.each([
    { width: -1, height: 1 },
    { width: 1, height: 65536 },
    { width: 1.5, height: 1 },
    { width: Number.NaN, height: 1 },
  ])('refuses the size %o, which would become another one', (size) => {
    expect(() => openPty(size)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  test('says ENOTTY for what is no terminal', () => {
    using file = openFile('/dev/null', constants.O_RDONLY);
    expect(() => getWindowSize(file)).toThrow(expect.objectContaining({ code: 'ENOTTY' }));
  });

  test('carries bytes from the slave to the master', async () => {
    const { master, path } = openPty();
    using _m = master;
    using slave = openFile(path, constants.O_RDWR | constants.O_NOCTTY);
    const { writeSync } = await import('node:fs');
    writeSync(slave.raw, 'hi\n');
    const buffer = Buffer.alloc(16);
    expect(buffer.toString('utf8', 0, readSync(master.raw, buffer))).toBe('hi\r\n');
  });
});
