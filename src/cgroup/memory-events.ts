import { constants, writeFileSync, writeSync } from 'node:fs';
import { check } from '../os/errors.ts';
import { Fd } from '../os/fd.ts';
import { native } from '../os/native.ts';
import { openFile } from '../os/pipe.ts';
import { FdPoll } from '../os/poll.ts';

/**
 * An event of a v1 memory cgroup, counted by an eventfd (cgroups(7), kernel documentation
 * "Memory Resource Controller", 9): `file` is memory.oom_control, or memory.usage_in_bytes with a
 * threshold in bytes as `argument`. The removal of the cgroup is told the same way. Keeps no event
 * loop alive. Throws the system's error.
 */
export class LegacyMemoryEvent implements Disposable {
  readonly #event: Fd;
  readonly #poll: FdPoll;

  constructor(
    directory: string,
    file: 'memory.oom_control' | 'memory.usage_in_bytes',
    onEvent: (count: number) => void,
    argument = '',
  ) {
    this.#event = new Fd(check('eventfd', native().eventFd()));
    try {
      using control = openFile(`${directory}/${file}`, constants.O_RDONLY);
      const order = `${this.#event.raw} ${control.raw} ${argument}`.trim();
      writeFileSync(`${directory}/cgroup.event_control`, order, { flag: 'r+' });
      this.#poll = new FdPoll(this.#event.raw, { read: true }, () => onEvent(this.#take()));
    } catch (error) {
      this.#event.close();
      throw error;
    }
    this.#poll.unref();
  }

  /** eventfd(2): the counter, which is zero again then. */
  #take(): number {
    const bytes = new BigUint64Array(1);
    const length = native().readBytes(this.#event.raw, new Uint8Array(bytes.buffer));
    return length < 0 ? 0 : Number(bytes[0]);
  }

  [Symbol.dispose](): void {
    this.#poll.close();
    this.#event.close();
  }
}

/** Microseconds a process of the cgroup waited for memory within the time, also in microseconds. */
const STALL = 100_000;
const WITHIN = 1_000_000;

/**
 * Told by the kernel when processes of a v2 cgroup wait for memory, at most once a second: a trigger
 * on memory.pressure (Documentation/accounting/psi.rst). It watches and changes nothing. Ends with
 * the cgroup; keeps no event loop alive. Throws the system's error, where the kernel counts no
 * pressure ENOENT or EOPNOTSUPP.
 */
export class MemoryPressure implements Disposable {
  readonly #file: Fd;
  readonly #poll: FdPoll;

  constructor(directory: string, onEvent: () => void) {
    this.#file = openFile(`${directory}/memory.pressure`, constants.O_RDWR);
    try {
      writeSync(this.#file.raw, `some ${STALL} ${WITHIN}`);
      this.#poll = new FdPoll(this.#file.raw, { priority: true }, ({ hangup }) => {
        if (hangup) this.#poll.pause();
        else onEvent();
      });
    } catch (error) {
      this.#file.close();
      throw error;
    }
    this.#poll.unref();
  }

  [Symbol.dispose](): void {
    this.#poll.close();
    this.#file.close();
  }
}
