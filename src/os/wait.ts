import type { ExitStatus } from './process.ts';

// waitid(2): kinds of ids …
export const P_ALL = 0;
export const P_PID = 1;
export const P_PIDFD = 3;
// … and options.
export const WNOHANG = 0x1;
export const WEXITED = 0x4;
/** Look only: the status stays to be collected. */
export const WNOWAIT = 0x1000000;
/** Only children of the calling thread. */
export const WNOTHREAD = 0x20000000;

// si_code of SIGCHLD, sigaction(2).
const CLD_EXITED = 1;
const CLD_DUMPED = 3;

/** The status in waitid's result: si_pid, si_code, si_status. */
export function statusOfSiginfo(siginfo: Int32Array): ExitStatus {
  const [, code = 0, status = 0] = siginfo;
  if (code === CLD_EXITED) return { kind: 'exited', code: status };
  return { kind: 'signaled', signal: status, coreDumped: code === CLD_DUMPED };
}

/** The status in the packed form of wait(2). */
export function statusOfWait(wait: number): ExitStatus {
  const signal = wait & 0x7f;
  if (signal === 0) return { kind: 'exited', code: (wait >> 8) & 0xff };
  return { kind: 'signaled', signal, coreDumped: (wait & 0x80) !== 0 };
}
