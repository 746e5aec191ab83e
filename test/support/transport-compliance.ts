import { describe, it } from 'vitest';
import * as flow from './transport-cases/flow.ts';
import * as lifetime from './transport-cases/lifetime.ts';
import * as listening from './transport-cases/listening.ts';
import type { TransportPair } from './transport-pair.ts';

/** What every transport promises, each by name with its check. */
const cases = {
  'carries data both ways at once': flow.bothWays,
  'delivers what was sent before the other end accepted': flow.earlyData,
  'keeps the way to the dialer open when the dialer ends its own': flow.dialerEndsFirst,
  'keeps the way to the acceptor open when the acceptor ends its own': flow.acceptorEndsFirst,
  'carries 65535 bytes written at once': flow.oneWriteOf(65_535),
  'carries 65536 bytes written at once': flow.oneWriteOf(65_536),
  'carries 65537 bytes written at once': flow.oneWriteOf(65_537),
  'carries 1 GiB each way through streams': flow.bulkThroughStreams,
  'carries 1 GiB each way with a process on the raw descriptor': flow.bulkThroughProcess,
  'stops a writer whose reader does not read': flow.backpressure,
  'gives away a descriptor that is non-blocking and close-on-exec': flow.rawDescriptor,
  'refuses a port nobody listens on': listening.refusedPort,
  'refuses a port again once its listener is closed': listening.refusedAfterClose,
  'refuses a second listener on a port, and takes one after the first': listening.portInUse,
  'refuses numbers that are no ports': listening.noPorts,
  'matches many dials at once with their accepts': listening.concurrentDials,
  'gives up an accept when its signal aborts, and accepts on': listening.acceptAborted,
  'fails pending and later accepts once the listener is closed': listening.closedWhileAccepting,
  'closes what was dialed and never accepted': listening.neverAccepted,
  'fails a dial whose signal has aborted': listening.dialAborted,
  'fails everything after the transport was disposed': lifetime.disposed,
  'sees the end when the process at the other end is killed': lifetime.peerKilled,
  'sees the end when the other end goes with unread data': lifetime.peerGoneUnread,
  'can be used in one way only': lifetime.oneUse,
  'leaks no descriptor in 1000 connections': lifetime.noLeak,
} satisfies Record<string, (pair: TransportPair) => Promise<void>>;

export type ComplianceCase = keyof typeof cases;

export interface Traits {
  /** Cases that make no sense for this transport, each with the reason; they show as skipped with it. */
  notApplicable?: Partial<Record<ComplianceCase, string>>;
  /** Milliseconds for one case; the default is for memory-speed transports on a slow machine. */
  timeoutMs?: number;
}

/** For a transport that few cases apply to: all the others, for one reason. */
export function allBut(
  applicable: readonly ComplianceCase[],
  reason: string,
): Partial<Record<ComplianceCase, string>> {
  const others = Object.keys(cases).filter((title) => !applicable.some((one) => one === title));
  return Object.fromEntries(others.map((title) => [title, reason]));
}

/** The compliance suite: the same checks for every Transport. */
export function describeTransport(
  name: string,
  makePair: () => Promise<TransportPair>,
  traits: Traits = {},
): void {
  const { notApplicable = {}, timeoutMs = 60_000 } = traits;
  describe(`${name} as a transport`, () => {
    for (const [title, check] of Object.entries(cases)) {
      const reason = notApplicable[title as ComplianceCase];
      if (reason !== undefined) {
        it.skip(`${title} (not applicable: ${reason})`, () => {});
        continue;
      }
      it(
        title,
        async () => {
          await using pair = await makePair();
          await check(pair);
        },
        timeoutMs,
      );
    }
  });
}
