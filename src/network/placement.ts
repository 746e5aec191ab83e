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
import { type Link, replaceAddress } from './rtnetlink.ts';
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
  try {
    runSteps(steps, ground);
    const placement = new Placement(request, steps, ground.index, policyTable);
    if (config.addresses.length === 0) await placement.askForAddress(link, ground);
    return placement;
  } catch (error) {
    throw AgentError.from(error, { operation: 'network' });
  }
}

/** An adapter where it belongs, configured. */
export class Placement {
  readonly #request: PlacementRequest;
  readonly #steps: readonly Step[];
  readonly #index: number;
  readonly #policyTable: number | undefined;
  #keeper: LeaseKeeper | undefined;
  #leaseSteps: readonly Step[] = [];
  #dns: DnsConfig = { searches: [], servers: [] };
  #lease: Lease | undefined;

  constructor(
    request: PlacementRequest,
    steps: readonly Step[],
    index: number,
    policyTable: number | undefined,
  ) {
    this.#policyTable = policyTable;
    this.#request = request;
    this.#steps = steps;
    this.#index = index;
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
