import { AgentError } from '../../errors.ts';
import { monotonicNow } from '../../os/clock.ts';
import { startTimer } from '../../os/timer.ts';
import type { Container } from '../container.ts';
import { operationLimits } from './limits.ts';
import { killEveryProcess } from './signals.ts';

/**
 * One stop of a container, however many ask for it: its stop signal, then, when the shortest of
 * their times is up, SIGKILL to all that is in it.
 */
export class Stop {
  /** Settles when init has ended; rejects when it outlives SIGKILL. */
  readonly done: Promise<void>;
  readonly #container: Container;
  readonly #timeIsUp = Promise.withResolvers<void>();
  #deadline = Number.POSITIVE_INFINITY;
  #timer: Disposable | undefined;

  constructor(container: Container, stopSignal: number, timeoutMs: number) {
    this.#container = container;
    this.join(timeoutMs);
    this.done = this.#run(stopSignal, timeoutMs > 0);
  }

  /** Another one asks for it, perhaps sooner. */
  join(timeoutMs: number): void {
    const deadline = monotonicNow() + timeoutMs;
    if (deadline >= this.#deadline) return;
    this.#deadline = deadline;
    this.#timer?.[Symbol.dispose]();
    this.#timer = startTimer(timeoutMs, () => this.#timeIsUp.resolve());
  }

  async #run(stopSignal: number, gently: boolean): Promise<void> {
    const { init } = this.#container;
    try {
      // What was never started has nobody who could act on a signal.
      if (gently && this.#container.status !== 'created') {
        await this.#ask(stopSignal);
        await Promise.race([init.exited, this.#timeIsUp.promise]);
      }
      if (init.running) await this.#kill();
    } finally {
      this.#timer?.[Symbol.dispose]();
    }
  }

  /** A frozen process takes the signal once it runs again. */
  async #ask(stopSignal: number): Promise<void> {
    const { init } = this.#container;
    if (!init.running) return;
    try {
      this.#container.signal(init.pid, stopSignal);
      if (this.#container.status === 'paused') await this.#container.resume();
    } catch (error) {
      if (init.running) throw error;
    }
  }

  async #kill(): Promise<void> {
    const { id, init } = this.#container;
    const limit = new AbortController();
    using _timer = startTimer(operationLimits.killWaitMs, () => limit.abort());
    const given = new Promise<void>((resolve) =>
      limit.signal.addEventListener('abort', () => resolve(), { once: true }),
    );
    const killed = killEveryProcess(this.#container, limit.signal).catch((error) => {
      if (!limit.signal.aborted && init.running) throw error;
    });
    await Promise.race([Promise.all([killed, init.exited]), given]);
    if (!init.running) return;
    const seconds = operationLimits.killWaitMs / 1000;
    throw new AgentError('failed', `container ${id} has outlived SIGKILL for ${seconds} s`, {
      operation: 'stop',
      containerId: id,
    });
  }
}
