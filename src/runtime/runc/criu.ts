import { hasCode } from '../../os/errors.ts';
import type { CheckpointOptions, CriuOptions } from '../runtime.ts';
import { untilEnded } from './cancel.ts';
import { succeeded } from './commands.ts';
import { lastLine } from './error-log.ts';
import { describeStatus } from './errors.ts';
import { ScratchFile } from './scratch-file.ts';
import type { RuncServices } from './services.ts';
import type { CheckpointSupport } from './support.ts';

/** `criu check` asks the kernel for each of its features, which takes some 100 ms. */
const checkLimitMs = 30_000;
const outputLimit = 64 * 1024;

/**
 * Whether CRIU is installed and says that this kernel has what it needs (`criu check`, criu(8)): what
 * runtimes checkpoint and restore with.
 */
export async function criuSupport({
  reaper,
  bookkeeping,
}: Pick<RuncServices, 'reaper' | 'bookkeeping'>): Promise<CheckpointSupport> {
  using output = new ScratchFile(bookkeeping.root);
  try {
    const check = reaper.spawn({
      file: 'criu',
      args: ['criu', 'check'],
      env: [`PATH=${process.env.PATH ?? ''}`, 'LC_ALL=C'],
      stdio: [null, output.fd, output.fd],
    });
    const { status } = await untilEnded(reaper, check, AbortSignal.timeout(checkLimitMs));
    if (succeeded(status)) return { supported: true };
    const said = lastLine(output.tail(outputLimit)) ?? describeStatus(status);
    return { supported: false, reason: `criu check failed: ${said}` };
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    return { supported: false, reason: 'criu is not installed' };
  }
}

/** Options that `checkpoint` and `restore` have in common. */
export function criuArgs(options: CriuOptions): string[] {
  const { directory, tcpEstablished, externalUnixSockets, shellJob, fileLocks } = options;
  return [
    '--image-path',
    directory,
    // Its log; what it says there is asked for when it has failed.
    '--work-path',
    directory,
    ...(tcpEstablished === true ? ['--tcp-established'] : []),
    ...(externalUnixSockets === true ? ['--ext-unix-sk'] : []),
    ...(shellJob === true ? ['--shell-job'] : []),
    ...(fileLocks === true ? ['--file-locks'] : []),
  ];
}

export function checkpointArgs(options: CheckpointOptions): string[] {
  return [...criuArgs(options), ...(options.leaveRunning === true ? ['--leave-running'] : [])];
}
