import { failure, isPort } from '../failure.ts';
import { FIRST_STDIO_PORT } from '../ports.ts';
import type { Port } from '../transport.ts';

/**
 * Stdio ports as a host hands them out: counting up, one for each pipe, none ever twice, so that a
 * late dial of a finished process cannot reach the pipe of another.
 */
export class PortAllocator {
  #next: Port;

  constructor(first: Port = FIRST_STDIO_PORT) {
    this.#next = first;
  }

  /** Throws 'system' when the last port has been handed out. */
  next(): Port {
    const port = this.#next;
    if (!isPort(port)) {
      const place = { transport: 'emulator', operation: 'allocate a port' };
      throw failure('system', place, 'every stdio port has been used');
    }
    this.#next += 1;
    return port;
  }
}
