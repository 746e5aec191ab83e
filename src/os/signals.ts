import { constants } from 'node:os';

/** Real-time signals as applications see them: glibc keeps 32 and 33 for itself, see signal(7). */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

const byName = new Map<string, number>(Object.entries(constants.signals));
// Two names for one number: the first listed is the usual one (SIGABRT, not SIGIOT).
const byNumber = new Map<number, string>();
for (const [name, number] of byName) if (!byNumber.has(number)) byNumber.set(number, name);

function realTime(name: string): number | undefined {
  const match = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (match === null) return undefined;
  const [, base, sign, digits] = match;
  const offset = Number(digits ?? 0) * (sign === '-' ? -1 : 1);
  const number = (base === 'MIN' ? SIGRTMIN : SIGRTMAX) + offset;
  return number >= SIGRTMIN && number <= SIGRTMAX ? number : undefined;
}

/** Name to number, "SIGTERM", "TERM", "15" or "RTMIN+3", in any case; undefined when there is no such signal. */
export function signalNumber(name: string): number | undefined {
  if (/^\d{1,2}$/.test(name)) {
    const number = Number(name);
    return number >= 1 && number <= SIGRTMAX ? number : undefined;
  }
  const upper = name.toUpperCase();
  const full = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  return byName.get(full) ?? realTime(full);
}

/** "SIGTERM" for 15, "SIGRTMIN+3" for 37; "signal N" for a number without a name. */
export function signalName(signal: number): string {
  const name = byNumber.get(signal);
  if (name !== undefined) return name;
  if (signal === SIGRTMIN) return 'SIGRTMIN';
  if (signal > SIGRTMIN && signal <= SIGRTMAX) return `SIGRTMIN+${signal - SIGRTMIN}`;
  return `signal ${signal}`;
}
