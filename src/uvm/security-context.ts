import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path/posix';
import type { PlannedSecurityContext } from '../spec/security-context.ts';

/** Writes the documents a container is offered, readable for its users; resolves with the way back. */
export function writeSecurityContext({ directory, documents }: PlannedSecurityContext): () => void {
  mkdirSync(directory, 0o755);
  const undo = (): void => rmSync(directory, { recursive: true, force: true });
  try {
    chmodSync(directory, 0o755);
    for (const { name, content } of documents) {
      const path = join(directory, name);
      writeFileSync(path, content, { flag: 'wx', mode: 0o444 });
      chmodSync(path, 0o444);
    }
    return undo;
  } catch (error) {
    undo();
    throw error;
  }
}
