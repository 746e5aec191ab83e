import { constants } from 'node:fs';
import { Fd } from '../os/fd.ts';
import { openFile } from '../os/pipe.ts';
import type { StreamPair } from './stdio-connection.ts';

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

/**
 * Takes descriptors 0 and 1 of the process for the bridge alone. The numbers stay in use, for
 * /dev/null and for standard error: a stray print goes to the log and not into the protocol, no
 * later file gets their numbers, no child inherits the bridge, and closing the output is an end
 * that the peer sees. Call once.
 */
export function claimStandardStreams(): StreamPair {
  using owned = new DisposableStack();
  const input = owned.use(duplicate(STDIN));
  const output = owned.use(duplicate(STDOUT));
  using nothing = openFile('/dev/null', constants.O_RDONLY);
  nothing.dupOnto(STDIN);
  borrow(STDERR, (log) => log.dupOnto(STDOUT));
  owned.move();
  return { input, output };
}

function duplicate(number: number): Fd {
  return borrow(number, (fd) => fd.dup());
}

/** Uses a descriptor that belongs to the process; it must not be closed with the Fd. */
function borrow<T>(number: number, use: (fd: Fd) => T): T {
  const fd = new Fd(number);
  try {
    return use(fd);
  } finally {
    fd.take();
  }
}
