import { constants } from 'node:os';
import { AgentError } from '../errors.ts';
import { OsError } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import type { RouteSocket } from '../os/netlink.ts';
import { bitsOf, type IpAddress, isLinkLocalV6 } from './address.ts';
import {
  addAddress,
  addRoute,
  addRule,
  findLink,
  type InterfaceAddress,
  type Link,
  listLinks,
  MAIN_TABLE,
  moveLink,
  type Route,
  type Rule,
  removeAddress,
  removeRoute,
  removeRule,
  setLinkMtu,
  setLinkUp,
  tablesOfRules,
} from './rtnetlink.ts';
import { type AdapterConfig, isOnLink } from './settings.ts';

const { errno } = constants;

/** Table and rule priority of policy routing: figures hosts rely on. */
const POLICY_TABLE = 101;
const POLICY_PRIORITY = 5;

/** Smallest MTUs, RFC 791 and RFC 8200 section 5. */
const SMALLEST_MTU = { 4: 68, 6: 1280 } as const;

/** One change of a network namespace. A configuration is a list of these, done in order and undone in the other. */
export type Step =
  /** From the agent's namespace into the other, where it is called `name`. */
  | { readonly kind: 'move'; readonly name: string; readonly linkKind: string | undefined }
  | { readonly kind: 'loopback' }
  | { readonly kind: 'mtu'; readonly mtu: number; readonly before: number }
  | { readonly kind: 'up' }
  | { readonly kind: 'address'; readonly entry: InterfaceAddress }
  | { readonly kind: 'rule'; readonly rule: Rule }
  | { readonly kind: 'route'; readonly route: Route };

/** Where steps are taken. */
export interface Ground {
  /** Inside the namespace that is configured; the agent's own when nothing is moved. */
  readonly socket: RouteSocket;
  readonly namespace: Fd;
  /** Inside the agent's own. */
  readonly home: RouteSocket;
  readonly homeNamespace: Fd;
  /** Of the link, where it is now: a move may change it. */
  index: number;
}

/** What a link needs before it can have addresses; `moveAs`: its name in the namespace it is moved to. */
export function linkSteps(config: AdapterConfig, link: Link, moveAs: string | undefined): Step[] {
  const steps: Step[] = [];
  if (moveAs !== undefined) {
    steps.push({ kind: 'move', name: moveAs, linkKind: link.kind });
  }
  steps.push({ kind: 'loopback' });
  if (config.encapOverhead > 0) {
    steps.push({ kind: 'mtu', mtu: reducedMtu(config, link.mtu), before: link.mtu });
  }
  // Moved, it is down.
  if (moveAs !== undefined || !link.up) steps.push({ kind: 'up' });
  return steps;
}

function reducedMtu({ addresses, encapOverhead }: AdapterConfig, mtu: number): number {
  const family = addresses.some(({ address }) => address.family === 6) ? 6 : 4;
  const reduced = mtu - encapOverhead;
  if (reduced >= SMALLEST_MTU[family]) return reduced;
  const field = 'Request.Settings.EncapOverhead';
  throw new AgentError(
    'invalid-argument',
    `${field}: leaves ${reduced} of ${mtu} bytes, IPv${family} needs ${SMALLEST_MTU[family]}`,
    { operation: 'network', field },
  );
}

type Addressing = Pick<AdapterConfig, 'addresses' | 'routes'>;

/** The table for an adapter that is not the preferred one: hosts know the first, a third adapter needs another. */
export function freePolicyTable(socket: RouteSocket): number {
  const taken = tablesOfRules(socket, POLICY_PRIORITY);
  let table = POLICY_TABLE;
  while (taken.has(table)) table++;
  return table;
}

/**
 * Addresses, rules and routes. With a `policyTable` the routes go there, and it holds for packets
 * that come from the adapter's addresses.
 */
export function addressSteps({ addresses, routes }: Addressing, policyTable?: number): Step[] {
  const lowMetric = policyTable !== undefined;
  const table = policyTable ?? MAIN_TABLE;
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

export function applyStep(step: Step, ground: Ground): void {
  const { socket, index } = ground;
  switch (step.kind) {
    case 'move':
      moveLink(ground.home, index, ground.namespace.raw, step.name);
      try {
        ground.index = indexOf(socket, step.name);
      } catch (error) {
        moveHome(step, indexOf(socket, step.name), ground);
        throw error;
      }
      break;
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

function indexOf(socket: RouteSocket, name: string): number {
  const link = findLink(socket, name);
  if (link === undefined) throw new OsError(`get link ${name}`, errno.ENODEV);
  return link.index;
}

/** The name, or where it is taken one of the same kind: adapters that come one after the other are all born as eth0. */
export function freeName(socket: RouteSocket, wanted: string): string {
  const taken = new Set(listLinks(socket).map(({ name }) => name));
  const stem = wanted.replace(/[0-9]+$/, '').slice(0, 10);
  let name = wanted;
  for (let number = 0; taken.has(name); number++) name = `${stem}${number}`;
  return name;
}

/** The kernel took it away itself: with the link, with the address, or when its time was over. */
const GONE = new Set<number>([errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL]);

function undoStep(step: Step, ground: Ground): void {
  try {
    revert(step, ground);
  } catch (error) {
    if (!(error instanceof OsError && GONE.has(error.errno))) throw error;
  }
}

function revert(step: Step, ground: Ground): void {
  const { socket, index } = ground;
  switch (step.kind) {
    case 'move': {
      // A container may have sent the link away and made another under its number.
      const link = findLink(socket, index);
      if (link?.kind !== step.linkKind) throw new OsError(`get link ${index}`, errno.ENODEV);
      moveHome(step, index, ground);
      break;
    }
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

function moveHome({ name }: { name: string }, index: number, ground: Ground): void {
  const { home, socket, homeNamespace } = ground;
  const homeName = freeName(home, name);
  moveLink(socket, index, homeNamespace.raw, homeName);
  ground.index = indexOf(home, homeName);
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

/** A step cannot be taken, and what was done before it cannot all be undone. */
function halfUndone(error: unknown, left: readonly unknown[]): AgentError {
  const { message } = AgentError.from(error);
  const texts = left.map((each) => AgentError.from(each).message).join('; ');
  return new AgentError('failed', `${message} (and not undone: ${texts})`, {
    operation: 'network',
    cause: error,
  });
}

/** All steps or none: on failure those done are undone before the error is thrown. `perform` is for tests. */
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
    throw left.length === 0 ? error : halfUndone(error, left);
  }
}
