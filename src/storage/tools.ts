import { AgentError } from '../errors.ts';
import { readBytes } from '../os/bytes.ts';
import { hasCode } from '../os/errors.ts';
import { pipe } from '../os/pipe.ts';
import { untilReady } from '../os/poll.ts';
import { exitCodeOf } from '../os/process.ts';
import type { Reaper } from '../os/reaper.ts';

/** Of what a tool prints the end is kept. */
const OUTPUT_LIMIT = 16 * 1024;

/** Runs a program; rejects with what it printed when it fails. */
export type RunTool = (file: string, args: readonly string[]) => Promise<void>;

export function toolRunner(reaper: Reaper): RunTool {
  return async (file, args) => {
    const { read, write } = pipe({ nonBlockRead: true });
    using output = read;
    let child: ReturnType<Reaper['spawn']>;
    {
      using theirs = write;
      const stdio = [null, theirs.raw, theirs.raw];
      child = start(reaper, file, args, stdio);
    }
    let text = '';
    const buffer = new Uint8Array(4096);
    for (;;) {
      const length = readBytes(output, buffer);
      if (length === 0 || length === 'gone') break;
      if (length === 'again') await untilReady(output.raw, { read: true });
      else text = (text + Buffer.from(buffer.subarray(0, length)).toString()).slice(-OUTPUT_LIMIT);
    }
    const code = exitCodeOf(await child.exited);
    if (code === 0) return;
    throw new AgentError('failed', `${file} failed with exit code ${code}: ${text.trim()}`, {
      operation: file,
    });
  };
}

function start(
  reaper: Reaper,
  file: string,
  args: readonly string[],
  stdio: readonly (number | null)[],
): ReturnType<Reaper['spawn']> {
  try {
    const env = [`PATH=${process.env.PATH ?? ''}:/usr/sbin:/sbin`];
    const searchPath = env[0]?.slice('PATH='.length) ?? '';
    return reaper.spawn({ file, args: [file, ...args], env, searchPath, stdio });
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    throw new AgentError('not-supported', `${file} is not installed in this VM`, {
      operation: file,
      cause: error,
    });
  }
}
