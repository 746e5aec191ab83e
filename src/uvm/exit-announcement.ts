import type { GuestProcess } from './guest-process.ts';
import { uvmLimits } from './limits.ts';
import { startTimer } from './timer.ts';

/**
 * The one exit notification of a container. Hosts expect the answer of their WaitForProcess for
 * init first, so it follows that answer; a host that does not wait is told after a grace period.
 */
export class ExitAnnouncement {
  readonly #announce: () => void;
  #timer: Disposable | undefined;
  #done = false;

  constructor(init: GuestProcess, announce: () => void) {
    this.#announce = announce;
    void init.drained.then(() => {
      if (this.#done) return;
      this.#timer = startTimer(uvmLimits.notificationGraceMs, () => this.announceNow());
      // Waiters are answered in microtasks that follow; setImmediate comes after all of them, so
      // that the answers are written first.
      const afterAnswers = () => setImmediate(() => this.announceNow());
      if (init.answered && init.waiters === 0) afterAnswers();
      else init.onReleased = afterAnswers;
    });
  }

  announceNow(): void {
    if (this.#done) return;
    this.#done = true;
    this.#timer?.[Symbol.dispose]();
    this.#announce();
  }
}
