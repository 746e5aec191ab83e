import type { Logger } from '../../log/logger.ts';
import { monotonicNow } from '../../os/clock.ts';
import { formatAddress } from '../address.ts';
import { DhcpExchange, type DhcpLink } from './client.ts';
import type { Lease } from './lease.ts';
import { pause } from './pause.ts';

/** Milliseconds between two requests for more time, RFC 2131 section 4.4.5: half of what is left, but not less than this. */
const SHORTEST_RETRY_MS = 60_000;
/** A server that grants a second at a time is asked no more often than this. */
const SHORTEST_LEASE_MS = 1000;

/** What is done with a lease; called for the first one, for each renewal, and with undefined when it is lost. */
export type UseLease = (lease: Lease | undefined) => void;

/**
 * The address of a link, kept for as long as it is wanted: renewed in time, and asked for anew when
 * it is lost. The kernel drops an address whose lifetime ends, so an agent that dies keeps nobody's.
 */
export class LeaseKeeper {
  readonly #link: DhcpLink;
  readonly #use: UseLease;
  readonly #log: Logger;
  readonly #end = new AbortController();
  #lease: Lease;

  /** Resolves with the first lease in use. Rejects with the signal's reason, or what `use` throws. */
  static async start(
    link: DhcpLink,
    use: UseLease,
    log: Logger,
    signal: AbortSignal,
  ): Promise<LeaseKeeper> {
    using exchange = new DhcpExchange(link);
    const asked = monotonicNow();
    const lease = await exchange.acquire(signal);
    use(lease);
    return new LeaseKeeper(link, use, log, lease, asked);
  }

  private constructor(link: DhcpLink, use: UseLease, log: Logger, lease: Lease, asked: number) {
    this.#link = link;
    this.#use = use;
    this.#log = log;
    this.#lease = lease;
    void this.#keep(asked).catch((error: unknown) => {
      if (this.#end.signal.aborted) return;
      log.error('address from DHCP is not renewed any more', { error: String(error) });
    });
  }

  get lease(): Lease {
    return this.#lease;
  }

  /** No renewal begins or is used after this. */
  stop(): void {
    this.#end.abort();
  }

  /** Tells the server that the address is free; best effort, as in the protocol. */
  release(): void {
    try {
      using exchange = new DhcpExchange(this.#link);
      exchange.release(this.#lease);
    } catch (error) {
      this.#log.debug('address not given back to the DHCP server', { error: String(error) });
    }
  }

  async #keep(firstAsked: number): Promise<void> {
    const { signal } = this.#end;
    let asked = firstAsked;
    for (;;) {
      const next = await this.#renewed(asked);
      signal.throwIfAborted();
      asked = next.asked;
      this.#lease = next.lease;
      this.#use(next.lease);
      this.#log.debug('address renewed by DHCP', {
        address: formatAddress(next.lease.address.address),
        seconds: next.lease.seconds,
      });
    }
  }

  /** The lease that follows the present one, however long that takes. */
  async #renewed(asked: number): Promise<{ lease: Lease; asked: number }> {
    const { signal } = this.#end;
    const at = (seconds: number): number => asked + Math.max(1000 * seconds, SHORTEST_LEASE_MS);
    const { t1, t2, seconds } = this.#lease;
    await pause(at(t1) - monotonicNow(), signal);
    for (let now = monotonicNow(); now < at(seconds); now = monotonicNow()) {
      const whom = now < at(t2) ? 'server' : 'any';
      const left = (whom === 'server' ? at(t2) : at(seconds)) - now;
      const waitMs = Math.min(Math.max(left / 2, SHORTEST_RETRY_MS), left);
      using exchange = new DhcpExchange(this.#link);
      const answer = await exchange.renew(this.#lease, whom, waitMs, signal);
      if (answer === 'refused') break;
      if (answer !== undefined) return { lease: answer, asked: now };
    }
    this.#log.warning('address from DHCP is lost, asking for another');
    this.#use(undefined);
    using exchange = new DhcpExchange(this.#link);
    const begun = monotonicNow();
    return { lease: await exchange.acquire(signal), asked: begun };
  }
}
