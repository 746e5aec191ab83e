import { constants } from 'node:os';

/** The signals gcsctl passes on to a container. */
const FORWARDED_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;
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
