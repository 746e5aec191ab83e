import { closeSync, constants, fstatSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Fd } from './fd.ts';
import { bytesReadable, openFile, pipe } from './pipe.ts';

const O_CLOEXEC = 0o2000000;

function flagsOf(raw: number): number {
  const text = readFileSync(`/proc/self/fdinfo/${raw}`, 'utf8');
  return Number.parseInt(/^flags:\s*(\d+)/m.exec(text)?.[1] ?? '', 8);
}

describe('Fd', () => {
  test('throws when used after it was closed, and closes twice without harm', () => {
    const fd = openFile('/dev/null', constants.O_RDONLY);
    const { raw } = fd;
    fd.close();
    expect(fd.open).toBe(false);
    expect(() => fd.raw).toThrow(expect.objectContaining({ code: 'EBADF' }));
    expect(() => fd.dup()).toThrow(expect.objectContaining({ code: 'EBADF' }));
    expect(() => fstatSync(raw)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    // The number now belongs to somebody else, whom a second close must not hurt.
    using other = openFile('/dev/null', constants.O_RDONLY);
    expect(other.raw).toBe(raw);
    fd.close();
    expect(fstatSync(other.raw).isCharacterDevice()).toBe(true);
  });

  test('gives its number away and then no longer closes it', () => {
    const fd = openFile('/dev/null', constants.O_RDONLY);
    const raw = fd.take();
    fd.close();
    expect(() => fd.take()).toThrow(expect.objectContaining({ code: 'EBADF' }));
    expect(fstatSync(raw).isCharacterDevice()).toBe(true);
    closeSync(raw);
  });

  test('reports that somebody else closed its number', () => {
    const fd = openFile('/dev/null', constants.O_RDONLY);
    closeSync(fd.raw);
    expect(() => fd.close()).toThrow(expect.objectContaining({ code: 'EBADF', syscall: 'close' }));
  });

  test('duplicates share the description and are close-on-exec', () => {
    using fd = openFile('/dev/null', constants.O_RDONLY);
    using copy = fd.dup();
    expect(copy.raw).not.toBe(fd.raw);
    expect(flagsOf(copy.raw) & O_CLOEXEC).toBe(O_CLOEXEC);
  });

  test.each([-1, 1.5, Number.NaN])('refuses %d', (raw) => {
    expect(() => new Fd(raw)).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });
});

describe('pipe', () => {
  test('is blocking unless asked for, close-on-exec, of the size asked for', () => {
    const plain = pipe();
    const other = pipe({ nonBlockRead: true, nonBlockWrite: true, size: 1 << 20 });
    using _a = plain.read;
    using _b = plain.write;
    using _c = other.read;
    using _d = other.write;
    for (const end of [plain.read, plain.write]) {
      expect(flagsOf(end.raw) & (O_CLOEXEC | constants.O_NONBLOCK)).toBe(O_CLOEXEC);
    }
    for (const end of [other.read, other.write]) {
      expect(flagsOf(end.raw) & constants.O_NONBLOCK).toBe(constants.O_NONBLOCK);
    }
  });

  test('tells how many bytes wait', async () => {
    const { read, write } = pipe();
    using _r = read;
    using _w = write;
    expect(bytesReadable(read)).toBe(0);
    const { writeSync } = await import('node:fs');
    writeSync(write.raw, 'hello');
    expect(bytesReadable(read)).toBe(5);
    expect(bytesReadable(read.raw)).toBe(5);
  });

  test('leaves no descriptor behind when the size is refused', () => {
    const before = readdirSync('/proc/self/fd').length;
    expect(() => pipe({ size: 2 ** 31 - 1 })).toThrow(
      expect.objectContaining({ syscall: 'pipe2' }),
    );
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});

describe('openFile', () => {
  test('names the path and the errno', () => {
    expect(() => openFile('/does/not/exist', constants.O_RDONLY)).toThrow(
      'open /does/not/exist: ENOENT',
    );
  });

  test('refuses a path with a NUL instead of opening what is before it', () => {
    expect(() => openFile('/dev/null\0/x', constants.O_RDONLY)).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });
});
