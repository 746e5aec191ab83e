import type { ManagedProcess } from '../../client/management/index.ts';
import type { AttachedProcess } from '../attach.ts';

/** A process of the management door as `attach` wants it. */
export function attached(process: ManagedProcess): AttachedProcess {
  const exited = process.wait().then(({ exitCode }) => exitCode);
  // Who attaches looks at it in time; until then it is no fault of nobody's.
  exited.catch(() => {});
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    exited,
    signal: (signal) => process.signal(signal),
    resize: (size) => process.resize(size),
  };
}
