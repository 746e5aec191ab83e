import { check } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';

/**
 * Bytes of a file that another process writes too (mmap(2), MAP_SHARED). After close() every view
 * of `buffer` is empty; nothing faults. The file must not be cut shorter while it is mapped (that
 * would be SIGBUS): files of virtual machines are sealed against it.
 */
export class SharedMemory implements Disposable {
  readonly buffer: ArrayBuffer;

  /** Maps `size` bytes from `offset`. The descriptor stays the caller's and may be closed at once. OsError EINVAL: no regular file, or a shorter one. */
  constructor(fd: Fd, offset: number, size: number) {
    const buffer = native().mapShared(fd.raw, offset, size);
    if (typeof buffer === 'number') {
      check('mmap', buffer, `${size} bytes at ${offset}`);
      throw new TypeError('native mmap without a buffer');
    }
    this.buffer = buffer;
  }

  close(): void {
    check('munmap', native().unmapShared(this.buffer));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** An anonymous file of `size` zero bytes, sealed against any other size (memfd_create(2)). */
export function memoryFile(size: number): Fd {
  return new Fd(check('memfd_create', native().memoryFile(size)));
}
