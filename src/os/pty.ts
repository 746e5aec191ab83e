import { constants } from 'node:os';
import { check, OsError } from './errors.ts';
import { Fd, rawOf } from './fd.ts';
import { native } from './native.ts';

export interface WindowSize {
  /** Character columns. */
  width: number;
  /** Character rows. */
  height: number;
}

/** A new pseudo-terminal (/dev/ptmx, unlocked); `path` names the slave, for a child's controlling terminal. See pty(7). */
export function openPty(size?: WindowSize): { master: Fd; path: string } {
  const out = new Int32Array(2);
  check('open', native().openPty(out), '/dev/ptmx');
  const [raw = -1, number = -1] = out;
  const master = new Fd(raw);
  try {
    if (size !== undefined) setWindowSize(master, size);
  } catch (error) {
    master.close();
    throw error;
  }
  return { master, path: `/dev/pts/${number}` };
}

/** struct winsize has 16 bits a field; a larger number would silently become another one. */
function checkSide(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff) {
    throw new OsError('ioctl TIOCSWINSZ', constants.errno.EINVAL, `${name} ${value}`);
  }
}

/** TIOCSWINSZ, see ioctl_tty(2). OsError EINVAL for a side outside 0 to 65535, ENOTTY for no terminal. */
export function setWindowSize(fd: Fd | number, size: WindowSize): void {
  checkSide('width', size.width);
  checkSide('height', size.height);
  check('ioctl TIOCSWINSZ', native().setWindowSize(rawOf(fd), size.width, size.height));
}

/** TIOCGWINSZ, see ioctl_tty(2). */
export function getWindowSize(fd: Fd | number): WindowSize {
  const out = new Int32Array(2);
  check('ioctl TIOCGWINSZ', native().getWindowSize(rawOf(fd), out));
  const [width = 0, height = 0] = out;
  return { width, height };
}
