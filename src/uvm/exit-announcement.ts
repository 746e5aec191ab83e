import { constants } from 'node:os';
import { faultPoint } from '../os/fault-point.ts';
import { startTimer } from '../os/timer.ts';
import type { GuestProcess } from './guest-process.ts';
import { uvmLimits } from './limits.ts';
import type { ContainerExitType } from './operations.ts';

const { SIGTERM, SIGKILL } = constants.signals;

/** How a container ended, by the last of SIGTERM and SIGKILL that reached its init through the agent. */
export function exitTypeOf(endedBy: number | undefined): ContainerExitType {
  switch (endedBy) {
    case SIGTERM:
      return 'GracefulExit';
    case SIGKILL:
      return 'ForcedExit';
    default:
      return 'UnexpectedExit';
  }
}

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
      this.#timer = startTimer(uvmLimits.notificationGraceMs, () => this.#announceOnce());
      if (init.answered && init.waiters === 0) void this.afterAnswers();
      else init.onReleased = () => void this.afterAnswers();
    });
  }

  /**
   * Announces, if that was not done, once who waits has been answered: the answers are written in
   * microtasks that follow the drain, and setImmediate comes after all of them.
   */
  async afterAnswers(): Promise<void> {
    await new Promise(setImmediate);
    this.#announceOnce();
  }

  #announceOnce(): void {
    if (this.#done) return;
    this.#done = true;
    this.#timer?.[Symbol.dispose]();
    faultPoint('before the exit is announced');
    this.#announce();
    faultPoint('exit announced');
  }
}
