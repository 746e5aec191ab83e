import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { pipe } from './pipe.ts';
import { memoryFile, SharedMemory } from './shared-memory.ts';

it('shows two mappings of a file the same bytes', () => {
  using fd = memoryFile(8192);
  using one = new SharedMemory(fd, 0, 8192);
  using other = new SharedMemory(fd, 4096, 4096);
  new Uint8Array(one.buffer)[4096 + 5] = 77;
  expect(new Uint8Array(other.buffer)[5]).toBe(77);
  expect(other.buffer.byteLength).toBe(4096);
});

it('leaves its views empty and no mapping when it is closed', () => {
  const maps = (): number =>
    readFileSync('/proc/self/maps', 'utf8').match(/memfd:gcs/g)?.length ?? 0;
  using fd = memoryFile(4096);
  const before = maps();
  const memory = new SharedMemory(fd, 0, 4096);
  const view = new Uint8Array(memory.buffer);
  expect(maps()).toBe(before + 1);
  memory.close();
  expect(maps()).toBe(before);
  expect([view.length, view[0]]).toEqual([0, undefined]);
  memory.close();
});

it('maps nothing that the file does not have', () => {
  using fd = memoryFile(4096);
  expect(() => new SharedMemory(fd, 0, 4097)).toThrow('EINVAL');
  expect(() => new SharedMemory(fd, 4096, 1)).toThrow('EINVAL');
  expect(() => new SharedMemory(fd, 0, 0)).toThrow('EINVAL');
  const { read, write } = pipe();
  expect(() => new SharedMemory(read, 0, 1)).toThrow('EINVAL');
  read.close();
  write.close();
});
