import { constants } from 'node:os';
import { AgentError } from '../errors.ts';
import { OsError } from '../os/errors.ts';
import type { RouteSocket } from '../os/netlink.ts';
import { bitsOf, type IpAddress, isLinkLocalV6 } from './address.ts';
import {
  addAddress,
  addRoute,
  addRule,
  type InterfaceAddress,
  listLinks,
  MAIN_TABLE,
  type Route,
  type Rule,
  removeAddress,
  removeRoute,
  removeRule,
  setLinkMtu,
  setLinkUp,
} from './rtnetlink.ts';
import { type AdapterConfig, isOnLink } from './settings.ts';

/** Table and rule priority of policy routing: figures hosts rely on. */
export const POLICY_TABLE = 101;
const POLICY_PRIORITY = 5;

/** Smallest MTUs, RFC 791 and RFC 8200 section 5. */
const SMALLEST_MTU = { 4: 68, 6: 1280 } as const;

/** One change of a network namespace. A configuration is a list of these, done in order and undone in the other. */
export type Step =
  | { readonly kind: 'loopback' }
  | { readonly kind: 'mtu'; readonly mtu: number; readonly before: number }
  | { readonly kind: 'up' }
  | { readonly kind: 'address'; readonly entry: InterfaceAddress }
  | { readonly kind: 'rule'; readonly rule: Rule }
  | { readonly kind: 'route'; readonly route: Route };

/** Where steps are taken: a socket inside the namespace, and the link there. */
export interface Ground {
  readonly socket: RouteSocket;
  readonly index: number;
}

/** What an adapter's link needs before it can have addresses. */
export function linkSteps(config: AdapterConfig, mtu: number): Step[] {
  const steps: Step[] = [{ kind: 'loopback' }];
  if (config.encapOverhead > 0) {
    const family = config.addresses.some(({ address }) => address.family === 6) ? 6 : 4;
    const reduced = mtu - config.encapOverhead;
    if (reduced < SMALLEST_MTU[family]) {
      const field = 'Request.Settings.EncapOverhead';
      throw new AgentError(
        'invalid-argument',
        `${field}: leaves ${reduced} of ${mtu} bytes, IPv${family} needs ${SMALLEST_MTU[family]}`,
        { operation: 'network', field },
      );
    }
    steps.push({ kind: 'mtu', mtu: reduced, before: mtu });
  }
  return [...steps, { kind: 'up' }];
}

type Addressing = Pick<AdapterConfig, 'addresses' | 'routes'>;

/**
 * Addresses, rules and routes. With `lowMetric` the routes go to a table of their own, which holds
 * for packets that come from the adapter's addresses.
 */
export function addressSteps({ addresses, routes }: Addressing, lowMetric: boolean): Step[] {
  const table = lowMetric ? POLICY_TABLE : MAIN_TABLE;
  const steps: Step[] = [];
  for (const entry of addresses) {
    steps.push({ kind: 'address', entry });
    if (lowMetric) {
      const rule = { source: entry.address, table, priority: POLICY_PRIORITY };
      steps.push({ kind: 'rule', rule });
    }
  }
  const reached = new Set<string>();
  for (const { gateway, lowMetric: low, ...route } of routes) {
    if (gateway !== undefined && !isReached(addresses, gateway) && !reached.has(keyOf(gateway))) {
      reached.add(keyOf(gateway));
      steps.push({ kind: 'route', route: toGateway(gateway, table) });
    }
    const metric = lowMetric ? low : route.metric;
    steps.push({ kind: 'route', route: { ...route, gateway, metric, table } });
  }
  return steps;
}

function isReached(addresses: readonly InterfaceAddress[], gateway: IpAddress): boolean {
  return isLinkLocalV6(gateway) || isOnLink(addresses, gateway);
}

function keyOf(gateway: IpAddress): string {
  return gateway.bytes.join('.');
}

/**
 * A gateway outside every subnet of the link is first made reachable on it. (The alternative, its
 * address on the link, would make packets for the gateway our own.)
 */
function toGateway(gateway: IpAddress, table: number): Route {
  const { family } = gateway;
  const destination = { address: gateway, length: bitsOf(family) };
  return { destination, family, gateway: undefined, metric: 0, table };
}

export function applyStep(step: Step, { socket, index }: Ground): void {
  switch (step.kind) {
    case 'loopback': {
      const loopback = listLinks(socket).find((link) => link.loopback);
      if (loopback !== undefined && !loopback.up) setLinkUp(socket, loopback.index, true);
      break;
    }
    case 'mtu':
      setLinkMtu(socket, index, step.mtu);
      break;
    case 'up':
      setLinkUp(socket, index, true);
      break;
    case 'address':
      addAddress(socket, index, step.entry);
      break;
    case 'rule':
      addRule(socket, step.rule);
      break;
    case 'route':
      addRoute(socket, index, step.route);
      break;
  }
}

const { errno } = constants;
/** The kernel took it away itself: with the link, with the address, or when its time was over. */
const GONE = new Set<number>([errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL]);

export function undoStep(step: Step, ground: Ground): void {
  try {
    revert(step, ground);
  } catch (error) {
    if (!(error instanceof OsError && GONE.has(error.errno))) throw error;
  }
}

function revert(step: Step, { socket, index }: Ground): void {
  switch (step.kind) {
    case 'loopback':
      // Others in the namespace use it.
      break;
    case 'mtu':
      setLinkMtu(socket, index, step.before);
      break;
    case 'up':
      setLinkUp(socket, index, false);
      break;
    case 'address':
      removeAddress(socket, index, step.entry);
      break;
    case 'rule':
      removeRule(socket, step.rule);
      break;
    case 'route':
      removeRoute(socket, index, step.route);
      break;
  }
}

/** Undoes steps, the last first, also when one cannot be undone: the errors of those are returned. */
export function undoSteps(steps: readonly Step[], ground: Ground): unknown[] {
  const errors: unknown[] = [];
  for (const step of [...steps].reverse()) {
    try {
      undoStep(step, ground);
    } catch (error) {
      errors.push(error);
    }
  }
  return errors;
}

/** All steps or none: on failure those done are undone before the error is thrown. */
export function runSteps(
  steps: readonly Step[],
  ground: Ground,
  perform: (step: Step, ground: Ground) => void = applyStep,
): void {
  const done: Step[] = [];
  try {
    for (const step of steps) {
      perform(step, ground);
      done.push(step);
    }
  } catch (error) {
    const left = undoSteps(done, ground);
    if (left.length === 0) throw error;
    throw new AggregateError([error, ...left], `${String(error)}, and not all of it was undone`);
  }
}
