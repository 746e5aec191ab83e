/**
 * Network adapters for an agent in namespaces of its own: one end of a veth pair plays the adapter,
 * the other the network behind it. What came of it is told by iproute2, the second opinion.
 */

import type { AgentOptions } from './agent-process.ts';
import type { SpecOptions } from './bundle.ts';
import { NULL_CONTAINER, RAW } from './raw-client.ts';
import { bundleOf, type Session, spec, withSession } from './suite.ts';

export interface Nic {
  /** As on Hyper-V: guid of its vmbus device. */
  readonly id: string;
  readonly name: string;
  /** The other end, in the agent's own namespace. */
  readonly peer: string;
}

let serial = 0;

/** An id no other test has. */
export function newGuid(): string {
  serial++;
  return `0badcafe-0000-4000-8000-${serial.toString(16).padStart(12, '0')}`;
}

/** A session on a machine with a vmbus, as far as sysfs shows it, without devices. */
export function withVmbus(
  body: (session: Session) => Promise<void>,
  options: AgentOptions = {},
): Promise<void> {
  return withSession(async (s) => {
    await s.uvmSh('mount -t tmpfs tmpfs /sys/bus && mkdir -p /sys/bus/vmbus/devices');
    await body(s);
    await s.uvmSh('umount /sys/bus');
  }, options);
}

/** Hot-adds an adapter. */
export async function plug(
  s: Session,
  name: string,
  peerAddresses: readonly string[] = [],
  id = newGuid(),
): Promise<Nic> {
  const nic = { id, name, peer: `p-${name}` };
  // In the order of the kernel: the device's directories first, the announcement of the link last.
  await s.uvmSh(`mkdir -p /sys/bus/vmbus/devices/${nic.id}/net/${name}`);
  await s.uvmSh(
    [
      `ip link add ${name} type veth peer name ${nic.peer}`,
      `ip link set ${nic.peer} up`,
      ...peerAddresses.map((address) => `ip addr add ${address} dev ${nic.peer}`),
    ].join(' && '),
  );
  return nic;
}

/** Takes an adapter out of the machine, wherever its other end is. */
export async function unplug(s: Session, nic: Nic): Promise<void> {
  await s.uvmSh(`ip link del ${nic.peer}; rm -r /sys/bus/vmbus/devices/${nic.id}`);
}

export async function modifyNetwork(
  s: Session,
  requestType: 'Add' | 'Remove',
  settings: object,
): Promise<void> {
  await s.call(RAW.modifySettings, {
    ContainerId: NULL_CONTAINER,
    Request: { RequestType: requestType, ResourceType: 'Network', Settings: settings },
  });
}

/** A spec whose network namespace is that of an id. */
export function networkedSpec(namespaceId: string, options: SpecOptions): object {
  return { ...spec(options), windows: { network: { networkNamespace: namespaceId } } };
}

/** A created container that has a namespace; returns the pid of its init. */
export async function createNetworked(
  s: Session,
  id: string,
  namespaceId: string,
  options: Partial<SpecOptions> = {},
): Promise<number> {
  await s.createFrom(id, networkedSpec(namespaceId, { args: 'exec sleep 1000', ...options }));
  return await pidOf(s, id);
}

/** Deletes a sandbox, and its pod's cgroups where the agent leaves them. */
export async function deleteSandbox(s: Session, id: string): Promise<void> {
  await s.delete(id);
  await s.uvmSh(`rmdir /sys/fs/cgroup/*/pods/${id} 2>/dev/null || true`);
}

export async function pidOf(s: Session, id: string): Promise<number> {
  const { ProcessList } = (await s.properties(id, ['ProcessList'])) as {
    ProcessList: { ProcessId: number }[];
  };
  const [first] = ProcessList;
  if (first === undefined) throw new Error(`${id} has no process`);
  return first.ProcessId;
}

// biome-ignore lint/suspicious/noExplicitAny: what iproute2 prints.
type Json = any;

/** `ip -json ARGUMENTS` in the network namespace of a process, or in the agent's own. */
export async function ip(s: Session, pid: number | 'agent', args: string): Promise<Json[]> {
  const enter = pid === 'agent' ? '' : `nsenter -t ${pid} -n `;
  // By its path: a busybox shell takes its own applet for the bare name.
  const text = await s.uvmSh(`${enter}/bin/ip -json ${args}`);
  return text.trim() === '' ? [] : JSON.parse(text);
}

/** "10.0.0.2/24" of a link, link-local IPv6 addresses left out. */
export async function addressesOf(
  s: Session,
  pid: number | 'agent',
  name: string,
): Promise<string[]> {
  const [link] = await ip(s, pid, `addr show dev ${name}`);
  return link.addr_info
    .filter((entry: Json) => entry.scope !== 'link')
    .map((entry: Json) => `${entry.local}/${entry.prefixlen}`);
}

/** "default via 10.0.0.1 metric 1", one a route, in the order of their texts. */
export async function routesOf(s: Session, pid: number | 'agent', args = ''): Promise<string[]> {
  return (await ip(s, pid, `route show ${args}`))
    .map((route: Json) =>
      [
        route.dst,
        ...(route.gateway === undefined ? [] : ['via', route.gateway]),
        ...(route.metric === undefined ? [] : ['metric', route.metric]),
      ].join(' '),
    )
    .sort();
}

/** resolv.conf of a container that does not mount one itself. */
export async function resolvConfOf(s: Session, id: string): Promise<string> {
  return await s.uvmSh(`cat ${bundleOf(id)}/resolv.conf`);
}

export async function linkNames(s: Session, pid: number | 'agent'): Promise<string[]> {
  return (await ip(s, pid, 'link show')).map((link: Json) => link.ifname).sort();
}
