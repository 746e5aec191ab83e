import { readdirSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import { hasCode } from '../os/errors.ts';
import { RouteEvents, RouteSocket } from '../os/netlink.ts';
import { networkLimits } from './limits.ts';
import { findLink, type Link, listLinks, RTNLGRP_LINK } from './rtnetlink.ts';
import type { AdapterConfig } from './settings.ts';

/** How an adapter is known to the host. */
export type SoughtAdapter = Pick<AdapterConfig, 'id' | 'mac' | 'vpciAssigned'>;

export interface FindOptions {
  /** Default /sys. */
  readonly sysfs?: string;
  /** Default {@link networkLimits.adapterWaitMs}. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * The link of an adapter in the agent's own network namespace: on Hyper-V by the guid of its vmbus
 * device, or of the vmbus device that carries its PCI bus; elsewhere by PCI address, and without a
 * vmbus by its hardware address. (On Hyper-V a synthetic adapter and its accelerated twin share
 * that one.) One that is not there yet is waited for; the kernel's announcement of a link comes
 * after its sysfs entries, so nothing is looked for in between.
 *
 * AgentError 'failed' after the deadline, and for an adapter that is more than one link.
 */
export async function findAdapter(sought: SoughtAdapter, options: FindOptions = {}): Promise<Link> {
  const { sysfs = '/sys', waitMs = networkLimits.adapterWaitMs, signal } = options;
  const { promise, resolve, reject } = Promise.withResolvers<Link>();
  using socket = new RouteSocket();
  const look = (): void => {
    try {
      const link = lookOnce(socket, sysfs, sought);
      if (link !== undefined) resolve(link);
    } catch (error) {
      reject(error);
    }
  };
  using _events = new RouteEvents(RTNLGRP_LINK, look);
  look();
  const timer = setTimeout(() => reject(timedOut(sysfs, sought)), waitMs);
  const onAbort = (): void => reject(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

function timedOut(sysfs: string, { id, vpciAssigned }: SoughtAdapter): AgentError {
  // The text is the one that hosts know.
  const pattern = `${sysfs}/bus/vmbus/devices/${id}/${vpciAssigned ? 'pci*' : 'net'}`;
  return new AgentError(
    'failed',
    `failed to find adapter ${id} sysfs path: timed out waiting for file matching pattern ${pattern} to exist: context deadline exceeded`,
    { operation: 'network' },
  );
}

function lookOnce(socket: RouteSocket, sysfs: string, sought: SoughtAdapter): Link | undefined {
  const names = netDirectories(sysfs, sought).flatMap(entries);
  const [name] = names;
  if (name !== undefined) {
    if (names.length > 1) throw ambiguous(sought);
    return findLink(socket, name);
  }
  if (sought.mac === undefined || entries(`${sysfs}/bus`).includes('vmbus')) return undefined;
  return linkByMac(socket, sought, sought.mac);
}

function linkByMac(socket: RouteSocket, sought: SoughtAdapter, mac: Uint8Array): Link | undefined {
  const wanted = Buffer.from(mac);
  const links = listLinks(socket).filter((link) => !link.loopback && wanted.equals(link.mac));
  if (links.length > 1) throw ambiguous(sought);
  return links[0];
}

function ambiguous({ id }: SoughtAdapter): AgentError {
  return new AgentError('failed', `multiple interface names found for adapter ${id}`, {
    operation: 'network',
  });
}

/** Where sysfs lists the names of the adapter's links; the id was checked to be one component of a path. */
function netDirectories(sysfs: string, { id, vpciAssigned }: SoughtAdapter): string[] {
  const vmbus = `${sysfs}/bus/vmbus/devices/${id}`;
  if (vpciAssigned) return devicesOnBusOf(vmbus).map((device) => `${device}/net`);
  const pci = `${sysfs}/bus/pci/devices/${id}`;
  const virtio = entries(pci).filter((name) => name.startsWith('virtio'));
  return [`${vmbus}/net`, `${pci}/net`, ...virtio.map((name) => `${pci}/${name}/net`)];
}

/** .../pci1234:00/1234:00:02.0: the devices of the PCI bus that a vmbus device carries. */
function devicesOnBusOf(vmbus: string): string[] {
  return entries(vmbus)
    .filter((name) => name.startsWith('pci'))
    .flatMap((bus) =>
      entries(`${vmbus}/${bus}`)
        .filter((name) => name.startsWith(bus.slice('pci'.length)))
        .map((name) => `${vmbus}/${bus}/${name}`),
    );
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return [];
    throw error;
  }
}
