import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../errors.ts';
import { runWithoutLogFields } from '../log/context.ts';
import type { Logger } from '../log/logger.ts';
import type { Fd } from '../os/fd.ts';
import type { DnsConfig } from '../spec/etc-files.ts';
import type { LeaseKeeper } from './dhcp/keeper.ts';
import type { Lease } from './dhcp/lease.ts';
import { type FindOptions, findAdapter } from './find-adapter.ts';
import { type OpenGround, openGround } from './ground.ts';
import { networkLimits } from './limits.ts';
import { type Link, listLinks, replaceAddress } from './rtnetlink.ts';
import type { AdapterConfig } from './settings.ts';
import {
  addressSteps,
  freeName,
  freePolicyTable,
  linkSteps,
  runSteps,
  type Step,
  undoSteps,
} from './steps.ts';

export interface PlacementRequest {
  readonly config: AdapterConfig;
  /** Routes into a policy table, see {@link addressSteps}. */
  readonly lowMetric: boolean;
  /** Where it belongs; the caller's, and open until the placement is removed or abandoned. */
  readonly namespace: Fd;
  readonly find?: FindOptions;
  readonly log: Logger;
  /** Ends the wait for the link and for a DHCP server. */
  readonly signal: AbortSignal;
  /** Name servers and domains from a DHCP server have changed. */
  readonly dnsChanged: () => void;
  /** Told before anything is done, and again whenever it has changed. */
  readonly remember?: (facts: PlacementFacts) => void;
}

/** What an agent that takes the place of this one needs to go on with a placement, or to undo it. */
export interface PlacementFacts {
  /** False: it was being placed; any of the steps may have been taken. */
  readonly placed: boolean;
  readonly steps: readonly Step[];
  /** Of the link, before a move while it is being placed. */
  readonly index: number;
  readonly policyTable: number | undefined;
  readonly atHome: boolean;
  readonly mac: Uint8Array;
  readonly leaseSteps: readonly Step[];
  readonly lease: Lease | undefined;
}

/** Finds an adapter's link, moves it and configures it: all or nothing. Rejects with AgentError. */
export async function placeAdapter(request: PlacementRequest): Promise<Placement> {
  const { config, lowMetric, namespace, find, signal } = request;
  const link = await findAdapter(config, { ...find, signal });
  using ground = openGround(namespace, link.index);
  const moveAs = ground.atHome ? undefined : freeName(ground.socket, link.name);
  const steps = linkSteps(config, link, moveAs);
  const policyTable = lowMetric ? freePolicyTable(ground.socket) : undefined;
  if (config.addresses.length > 0) steps.push(...addressSteps(config, policyTable));
  const { mac } = link;
  const { atHome, index } = ground;
  const facts = { placed: false, steps, index, policyTable, atHome, mac };
  request.remember?.({ ...facts, leaseSteps: [], lease: undefined });
  try {
    runSteps(steps, ground);
    const placement = new Placement(request, { ...facts, placed: true, index: ground.index });
    placement.remember();
    if (config.addresses.length === 0) await placement.askForAddress(link, ground);
    return placement;
  } catch (error) {
    throw AgentError.from(error, { operation: 'network' });
  }
}

/**
 * Undoes what an agent before this one left half placed, or placed in our own namespace for a
 * container that is gone. Tells what could not be undone.
 */
export function undoPlacement(namespace: Fd, facts: PlacementFacts): unknown[] {
  using ground = openGround(namespace, facts.index);
  const moved = facts.steps.find((step) => step.kind === 'move');
  if (moved !== undefined && !facts.placed) {
    const there = listLinks(ground.socket).find(({ name }) => name === moved.name);
    // It never left.
    if (there === undefined) return [];
    ground.index = there.index;
  }
  return undoSteps([...facts.steps, ...facts.leaseSteps], ground);
}

/** An adapter where it belongs, configured. */
export class Placement {
  readonly #request: PlacementRequest;
  readonly #facts: Omit<PlacementFacts, 'leaseSteps' | 'lease'>;
  readonly #steps: readonly Step[];
  readonly #index: number;
  readonly #policyTable: number | undefined;
  #keeper: LeaseKeeper | undefined;
  #leaseSteps: readonly Step[] = [];
  #dns: DnsConfig = { searches: [], servers: [] };
  #lease: Lease | undefined;

  constructor(request: PlacementRequest, facts: Omit<PlacementFacts, 'leaseSteps' | 'lease'>) {
    this.#facts = facts;
    this.#policyTable = facts.policyTable;
    this.#request = request;
    this.#steps = facts.steps;
    this.#index = facts.index;
  }

  /**
   * Goes on with one of an agent before this one. An address from DHCP stays, and the server is
   * asked for it anew.
   */
  static restore(request: PlacementRequest, facts: PlacementFacts): Placement {
    const placement = new Placement(request, facts);
    const { lease, leaseSteps } = facts;
    placement.#leaseSteps = leaseSteps;
    placement.#lease = lease;
    placement.#dns = { searches: lease?.searches ?? [], servers: lease?.servers ?? [] };
    if (request.config.addresses.length === 0) void placement.#askAgain(facts.mac);
    return placement;
  }

  async #askAgain(mac: Uint8Array): Promise<void> {
    const { namespace, log, signal } = this.#request;
    try {
      const { LeaseKeeper } = await import('./dhcp/keeper.ts');
      const use = (lease: Lease | undefined): void => this.#useLease(lease);
      const link = { namespace, index: this.#index, mac };
      this.#keeper = await runWithoutLogFields(() => LeaseKeeper.start(link, use, log, signal));
    } catch (error) {
      if (!signal.aborted) log.error('address from DHCP is not kept', { error: String(error) });
    }
  }

  remember(): void {
    const [leaseSteps, lease] = [this.#leaseSteps, this.#lease];
    this.#request.remember?.({ ...this.#facts, leaseSteps, lease });
  }

  /** What a DHCP server said of name resolution; empty with fixed addresses. */
  get dns(): DnsConfig {
    return this.#dns;
  }

  /** On failure the link is back where it was. */
  async askForAddress(link: Link, ground: OpenGround): Promise<void> {
    const { namespace, log, signal } = this.#request;
    const time = new AbortController();
    const timer = setTimeout(() => time.abort(noAddress(link)), networkLimits.dhcpWaitMs);
    try {
      // Most hosts give fixed addresses: the client is loaded when it is needed.
      const { LeaseKeeper } = await import('./dhcp/keeper.ts');
      const dhcpLink = { namespace, index: this.#index, mac: link.mac };
      const limit = AbortSignal.any([signal, time.signal]);
      const use = (lease: Lease | undefined): void => this.#useLease(lease);
      this.#keeper = await runWithoutLogFields(() => LeaseKeeper.start(dhcpLink, use, log, limit));
    } catch (error) {
      const left = undoSteps(this.#steps, ground);
      for (const each of left) log.warning('network step not undone', { error: String(each) });
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Undoes everything: the link is back in the agent's namespace, down and without addresses. Tells what could not be undone. */
  remove(): unknown[] {
    this.abandon();
    const { namespace } = this.#request;
    if (this.#leaseSteps.length > 0) this.#keeper?.release();
    using ground = openGround(namespace, this.#index);
    return undoSteps([...this.#steps, ...this.#leaseSteps], ground);
  }

  /** Leaves all as it is, to go with its namespace. */
  abandon(): void {
    this.#keeper?.stop();
  }

  #useLease(lease: Lease | undefined): void {
    using ground = openGround(this.#request.namespace, this.#index);
    const before = this.#lease;
    if (lease !== undefined && before !== undefined && sameConfiguration(lease, before)) {
      replaceAddress(ground.socket, this.#index, lease.address);
    } else {
      this.#undoLease(ground);
      if (lease !== undefined) this.#applyLease(lease, ground);
    }
    this.#lease = lease;
    this.remember();
    this.#dns = { searches: lease?.searches ?? [], servers: lease?.servers ?? [] };
    if (!isDeepStrictEqual(dnsOf(lease), dnsOf(before))) this.#request.dnsChanged();
  }

  #applyLease({ address, routes }: Lease, ground: OpenGround): void {
    const steps = addressSteps({ addresses: [address], routes }, this.#policyTable);
    runSteps(steps, ground);
    this.#leaseSteps = steps;
  }

  #undoLease(ground: OpenGround): void {
    for (const error of undoSteps(this.#leaseSteps, ground)) {
      this.#request.log.warning('network step not undone', { error: String(error) });
    }
    this.#leaseSteps = [];
  }
}

function noAddress({ name }: Link): AgentError {
  const seconds = networkLimits.dhcpWaitMs / 1000;
  return new AgentError(
    'failed',
    `failed to get DHCP address for ${name}: no answer in ${seconds} s`,
    {
      operation: 'network',
    },
  );
}

function sameConfiguration(a: Lease, b: Lease): boolean {
  const essence = ({ address, routes }: Lease) => [address.address, address.prefixLength, routes];
  return isDeepStrictEqual(essence(a), essence(b));
}

function dnsOf(lease: Lease | undefined): unknown {
  return [lease?.searches ?? [], lease?.servers ?? []];
}
