import type { Fd } from './fd.ts';
export interface WindowSize {
  /** Character columns. */
  width: number;
  /** Character rows. */
  height: number;
}
/** A new pseudo-terminal (/dev/ptmx, unlocked); `path` names the slave, for a child's controlling terminal. See pty(7). */
export declare function openPty(size?: WindowSize): { master: Fd; path: string };
/** TIOCSWINSZ / TIOCGWINSZ, see ioctl_tty(2). */
export declare function setWindowSize(fd: Fd | number, size: WindowSize): void;
export declare function getWindowSize(fd: Fd | number): WindowSize;
