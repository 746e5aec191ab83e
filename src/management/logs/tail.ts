import type { FileHandle } from 'node:fs/promises';

const BLOCK = 64 * 1024;
const NEWLINE = 0x0a;

/** Where the last `lines` lines of a file begin, and how many it has of them. */
export async function tailOf(
  file: FileHandle,
  lines: number,
): Promise<{ offset: number; found: number }> {
  const { size } = await file.stat();
  if (lines === 0) return { offset: size, found: 0 };
  const block = Buffer.allocUnsafe(BLOCK);
  let found = 0;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - BLOCK);
    const { bytesRead } = await file.read(block, 0, end - start, start);
    for (let at = bytesRead - 1; at >= 0; at -= 1) {
      // The newline at the very end closes the last line, it begins none.
      if (block[at] !== NEWLINE || start + at === size - 1) continue;
      found += 1;
      if (found === lines) return { offset: start + at + 1, found };
    }
    end = start;
  }
  return { offset: 0, found: size === 0 ? 0 : found + 1 };
}
