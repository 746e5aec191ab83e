import { readSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from 'vitest';
import type { Fd } from '../../src/os/fd.ts';
import { untilReady } from '../../src/os/poll.ts';
import type {
  RuntimeContainer,
  RuntimeErrorCode,
  RuntimeProcessInfo,
} from '../../src/runtime/runtime.ts';
import { installed, RuntimeLab } from './runtime-lab.ts';

/** Where the two runtimes say different things. */
const differences = {
  runc: {
    missingInit:
      /exit status 1: runc create failed: unable to start container process: exec: "\/no\/such": stat \/no\/such: no such file or directory$/,
    missingExec:
      /^failed to run runc create\/exec call for container c with exit status 255: exec failed: unable to start container process: exec: "\/no\/such": stat \/no\/such: no such file or directory$/,
    startTwice: /^runc start failed with exit status 1: cannot start an already running container$/,
    deleteRunning:
      /^runc delete failed with exit status 1: cannot delete container c that is not stopped: running$/,
    execStopped: /exit status 255: exec failed: cannot exec in a stopped container$/,
    resumeRunning: 'other' as RuntimeErrorCode | undefined,
    ids: ['-x', '--force', '...', '+_-.', '0'],
  },
  crun: {
    missingInit: /executable file `\/no\/such` not found in \$PATH: No such file or directory$/,
    missingExec:
      /^failed to run crun create\/exec call for container c with exit status 255: executable file `\/no\/such` not found in \$PATH: No such file or directory$/,
    startTwice:
      /^crun start failed with exit status 1: cannot open `.*exec\.fifo`: No such file or directory$/,
    deleteRunning:
      /^crun delete failed with exit status 1: the container `c` is not in `created` or `stopped` state$/,
    execStopped: /the container `c` is not running$/,
    resumeRunning: undefined,
    // It names a keyring after the container, and the kernel keeps names with a dot in front.
    ids: ['-x', '--force', '+_-.', '0'],
  },
};

export interface RuntimeSuite {
  /** Of the test file; a runtime anew for each test. */
  readonly lab: RuntimeLab;
  readonly expected: (typeof differences)['runc' | 'crun'];
}

/** The same tests with each OCI runtime; after each test nothing of it may be left. */
export function eachRuntime(define: (suite: RuntimeSuite) => void): void {
  describe.each(['runc', 'crun'] as const)('%s', (name) => {
    describe.skipIf(!installed(name))('as the runtime', () => {
      const suite = { expected: differences[name] } as {
        -readonly [K in keyof RuntimeSuite]: RuntimeSuite[K];
      };
      beforeAll(async () => {
        suite.lab = new RuntimeLab(name);
        await suite.lab.runtime.list(); // What the runtime makes when first run is no leftover.
      });
      afterAll(() => suite.lab[Symbol.asyncDispose]());
      beforeEach(() => suite.lab.count());
      afterEach(async () => {
        try {
          await suite.lab.assertClean();
          expect(suite.lab.complaints).toEqual([]);
        } finally {
          await suite.lab.sweep();
        }
      });
      define(suite);
    });
  });
}

/** Expects a RuntimeError. */
export async function refusal(
  code: RuntimeErrorCode,
  work: Promise<unknown>,
  message: RegExp = /./,
): Promise<void> {
  await expect(work).rejects.toMatchObject({ name: 'RuntimeError', code });
  await expect(work).rejects.toThrow(message);
}

/** What is written to a pipe until its last writer has gone. */
export async function readAll(read: Fd): Promise<string> {
  using owned = read;
  const chunks: Buffer[] = [];
  for (;;) {
    await untilReady(owned.raw, { read: true });
    const chunk = Buffer.alloc(65_536);
    const count = readSync(owned.raw, chunk);
    if (count === 0) return Buffer.concat(chunks).toString();
    chunks.push(chunk.subarray(0, count));
  }
}

/** Reads a terminal's master until `text` has come. */
export async function readUntil(master: Fd, text: string): Promise<string> {
  let seen = '';
  while (!seen.includes(text)) {
    await untilReady(master.raw, { read: true });
    const chunk = Buffer.alloc(4096);
    seen += chunk.toString('utf8', 0, readSync(master.raw, chunk));
  }
  return seen;
}

/**
 * Waits until a container runs exactly these commands, in any order. A process forks and executes
 * when it gets to it, and no event tells.
 */
export async function untilCommands(
  container: RuntimeContainer,
  commands: readonly string[],
): Promise<RuntimeProcessInfo[]> {
  const wanted = [...commands].sort().join('\n');
  for (;;) {
    const processes = await container.processes();
    const running = processes.map((row) => row.commandLine.join(' ')).sort();
    if (running.join('\n') === wanted) return processes;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
