import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { ManagedProcess } from '../../client/management/index.ts';
import { getWindowSize } from '../../os/pty.ts';

/** Joins our descriptors 0 to 2 to a process's streams; resolves when all output was passed on. */
export async function joinStreams(joined: ManagedProcess): Promise<void> {
  const { stdin, stdout, stderr } = joined;
  if (stdin !== undefined) passInput(process.stdin, stdin);
  await Promise.all([
    stdout === undefined ? undefined : passOutput(stdout, process.stdout),
    stderr === undefined ? undefined : passOutput(stderr, process.stderr),
  ]);
}

/** Tells the size of the window on our terminal, now and at each change. */
export function watchSize(tell: (size: { width: number; height: number }) => Promise<void>): void {
  const look = (): void => {
    const size = getWindowSize(0);
    // Whoever holds the master has not said yet.
    if (size.width === 0 || size.height === 0) return;
    tell(size).catch((error: unknown) => {
      process.stderr.write(`gcs-oci: window size not passed on: ${String(error)}\n`);
    });
  };
  process.on('SIGWINCH', look);
  look();
}

/** A process that has closed its stdin takes nothing more; what else comes is left unread. */
function passInput(from: Readable, to: Writable): void {
  to.on('error', () => from.unpipe(to));
  from.on('error', () => to.end());
  from.pipe(to);
  // The end of the process must not wait for the end of our input.
  if ('unref' in from && typeof from.unref === 'function') from.unref();
}

/** When our side is closed the stream is, so that the process finds its output closed. */
async function passOutput(from: Readable, to: Writable): Promise<void> {
  to.on('error', () => from.destroy());
  from.on('data', (chunk: Buffer) => {
    if (!to.write(chunk)) from.pause();
  });
  to.on('drain', () => from.resume());
  try {
    await finished(from, { writable: false });
  } catch {
    // Whichever side went first, there is nothing more to pass on.
  }
  if (to.writable && to.writableLength > 0) await new Promise((done) => to.write('', done));
}
