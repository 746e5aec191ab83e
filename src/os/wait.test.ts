import { expect, test } from 'vitest';
import { statusOfSiginfo, statusOfWait } from './wait.ts';

// si_pid, si_code (CLD_EXITED 1, CLD_KILLED 2, CLD_DUMPED 3), si_status; and the same in wait(2)'s form.
test.each([
  [[7, 1, 0], 0x0000, { kind: 'exited', code: 0 }],
  [[7, 1, 255], 0xff00, { kind: 'exited', code: 255 }],
  [[7, 2, 9], 0x0009, { kind: 'signaled', signal: 9, coreDumped: false }],
  [[7, 3, 11], 0x008b, { kind: 'signaled', signal: 11, coreDumped: true }],
  [[7, 2, 64], 0x0040, { kind: 'signaled', signal: 64, coreDumped: false }],
])('siginfo %j and wait status %d are %o', (siginfo, wait, status) => {
  expect(statusOfSiginfo(Int32Array.from(siginfo))).toEqual(status);
  expect(statusOfWait(wait)).toEqual(status);
});
