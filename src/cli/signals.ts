import { constants } from 'node:os';

/** The signals gcsctl passes on to a container. */
export const FORWARDED_SIGNALS = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
  'SIGQUIT',
  'SIGUSR1',
  'SIGUSR2',
] as const;
export type ForwardedSignal = (typeof FORWARDED_SIGNALS)[number];

export type SignalReceiver = (name: ForwardedSignal, signal: number) => void;

/** Takes the signals away from their default action and hands them to a receiver, until disposed of. */
export class SignalWatch implements Disposable {
  /** Who gets the signals now; a command changes it as it goes on. */
  receiver: SignalReceiver;
  readonly #listeners = new Map<ForwardedSignal, () => void>();

  constructor(receiver: SignalReceiver) {
    this.receiver = receiver;
    for (const name of FORWARDED_SIGNALS) {
      const listener = (): void => this.receiver(name, constants.signals[name]);
      this.#listeners.set(name, listener);
      process.on(name, listener);
    }
  }

  [Symbol.dispose](): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener);
    this.#listeners.clear();
  }
}

/** Signal by name ("TERM", "SIGTERM") or number; undefined when Linux has none. */
export function parseSignal(text: string): number | undefined {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    return number >= 1 && number <= 64 ? number : undefined;
  }
  const upper = text.toUpperCase();
  const name = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  const realTime = /^SIGRT(?:MIN(?:\+(\d+))?|MAX(?:-(\d+))?)$/.exec(name);
  if (realTime !== null) return realTimeSignal(name, realTime[1], realTime[2]);
  return (constants.signals as Record<string, number | undefined>)[name];
}

// glibc keeps 32 and 33 for itself, see signal(7).
function realTimeSignal(name: string, up = '0', down = '0'): number | undefined {
  const number = name.startsWith('SIGRTMIN') ? 34 + Number(up) : 64 - Number(down);
  return number >= 34 && number <= 64 ? number : undefined;
}
