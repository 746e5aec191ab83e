/** What ought to become of a container by each operation of the management door, in every status. */
import type { AgentErrorCode } from '../../src/errors.ts';

export type Status = 'none' | 'created' | 'running' | 'paused' | 'stopped';

/** The next status; `!code`: it ends with this error; `!`: with some; `?`: either way, and nothing changes. */
export type Outcome = Status | `!${AgentErrorCode}` | '!' | '?';

export type Outcomes = Readonly<Record<Status, Outcome>>;

export const missing = '!container-not-found';

/** The same in every status, but for some. */
export function all(outcome: Outcome, but: Partial<Record<Status, Outcome>> = {}): Outcomes {
  return {
    none: outcome,
    created: outcome,
    running: outcome,
    paused: outcome,
    stopped: outcome,
    ...but,
  };
}

export const lifeCycle = {
  create: all('!container-exists', { none: 'created' }),
  // Stopped, it was either started before, or has ended before it was: two errors.
  start: all('!container-not-created', { none: missing, created: 'running', stopped: '!' }),
  pause: all('!container-not-running', { none: missing, running: 'paused' }),
  resume: all('!container-not-paused', { none: missing, paused: 'running' }),
  exec: all('!container-not-running', {
    none: missing,
    running: 'running',
    paused: '!container-paused',
  }),
  kill: all('stopped', { none: missing, stopped: '!container-not-running' }),
  stop: all('stopped', { none: missing }),
  update: {
    none: missing,
    created: 'created',
    running: 'running',
    paused: 'paused',
    stopped: '!container-not-running',
  },
  delete: all('none', {
    none: missing,
    running: '!container-not-stopped',
    paused: '!container-not-stopped',
  }),
  'delete by force': all('none', { none: missing }),
} as const satisfies Readonly<Record<string, Outcomes>>;
