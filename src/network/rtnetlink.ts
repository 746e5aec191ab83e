import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, type RouteSocket } from '../os/netlink.ts';
import { attributesOf, MessageWriter, readI32, readU32, textOf } from '../os/netlink-message.ts';
import {
  bitsOf,
  formatAddress,
  formatPrefix,
  type IpAddress,
  type IpPrefix,
  lastOf,
  prefixOf,
} from './address.ts';

// rtnetlink(7)
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
/** Multicast group that tells of links. */
export const RTNLGRP_LINK = 1;

const AF_INET = 2;
const AF_INET6 = 10;
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_NET_NS_FD = 28;
const IFINFO_BYTES = 16;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_CACHEINFO = 6;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_TABLE = 15;
const RTPROT_STATIC = 4;
const RTN_UNICAST = 1;
const SCOPE_UNIVERSE = 0;
const SCOPE_LINK = 253;
const SCOPE_NOWHERE = 255;
/** The table of routes that holds without a rule. */
export const MAIN_TABLE = 254;
const FRA_SRC = 2;
const FRA_PRIORITY = 6;
const FRA_TABLE = 15;
const FR_ACT_TO_TBL = 1;
const RULE_BYTES = 12;

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  readonly up: boolean;
  readonly loopback: boolean;
  /** "veth", "vlan" and so on: what made it. A device has none, and nobody can make it look like one. */
  readonly kind: string | undefined;
  /** Hardware address, six bytes for an Ethernet. */
  readonly mac: Uint8Array;
}

export interface Route {
  /** Undefined: the default route of `family`. */
  readonly destination: IpPrefix | undefined;
  readonly family: 4 | 6;
  /** Undefined: reached on the link itself. */
  readonly gateway: IpAddress | undefined;
  /** 0: the kernel's default. */
  readonly metric: number;
  readonly table: number;
}

export interface Rule {
  readonly source: IpAddress;
  readonly table: number;
  readonly priority: number;
}

export interface InterfaceAddress {
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** Seconds the kernel keeps the address; undefined: for ever. */
  readonly lifetimeSeconds?: number;
}

function familyNumber(family: 4 | 6): number {
  return family === 4 ? AF_INET : AF_INET6;
}

function linkHeader(index: number, flags = 0, change = 0): MessageWriter {
  return new MessageWriter().u8(0, 0).u16(0).u32(index).u32(flags).u32(change);
}

function parseLink(body: Uint8Array): Link {
  const attributes = attributesOf(body, IFINFO_BYTES);
  const flags = readU32(body, 8);
  const mtu = attributes.get(IFLA_MTU);
  const kind = attributesOf(attributes.get(IFLA_LINKINFO) ?? new Uint8Array(), 0).get(
    IFLA_INFO_KIND,
  );
  return {
    index: readI32(body, 4),
    name: textOf(attributes.get(IFLA_IFNAME) ?? new Uint8Array()),
    mtu: mtu === undefined ? 0 : readU32(mtu, 0),
    up: (flags & IFF_UP) !== 0,
    kind: kind === undefined ? undefined : textOf(kind),
    loopback: (flags & IFF_LOOPBACK) !== 0,
    mac: attributes.get(IFLA_ADDRESS)?.slice() ?? new Uint8Array(),
  };
}

export function listLinks(socket: RouteSocket): Link[] {
  return socket
    .dump('list links', RTM_GETLINK, linkHeader(0).bytes)
    .map(({ body }) => parseLink(body));
}

export function findLink(socket: RouteSocket, by: number | string): Link | undefined {
  const writer =
    typeof by === 'number' ? linkHeader(by) : linkHeader(0).attributeText(IFLA_IFNAME, by);
  const answer = socket.query(`get link ${by}`, RTM_GETLINK, writer.bytes);
  return answer === undefined ? undefined : parseLink(answer.body);
}

export function setLinkUp(socket: RouteSocket, index: number, up: boolean): void {
  const what = `set link ${index} ${up ? 'up' : 'down'}`;
  socket.request(what, RTM_NEWLINK, 0, linkHeader(index, up ? IFF_UP : 0, IFF_UP).bytes);
}

export function setLinkMtu(socket: RouteSocket, index: number, mtu: number): void {
  const body = linkHeader(index).attributeU32(IFLA_MTU, mtu).bytes;
  socket.request(`set mtu ${mtu} of link ${index}`, RTM_NEWLINK, 0, body);
}

/** Moves a link, down, to the network namespace of a descriptor; there it is called `name`. */
export function moveLink(
  socket: RouteSocket,
  index: number,
  namespace: number,
  name: string,
): void {
  const body = linkHeader(index)
    .attributeU32(IFLA_NET_NS_FD, namespace)
    .attributeText(IFLA_IFNAME, name).bytes;
  socket.request(`move link ${name}`, RTM_NEWLINK, 0, body);
}

function addressBody(index: number, entry: InterfaceAddress): Uint8Array {
  const { address, prefixLength, lifetimeSeconds } = entry;
  const writer = new MessageWriter()
    .u8(familyNumber(address.family), prefixLength, 0, SCOPE_UNIVERSE)
    .u32(index)
    .attribute(IFA_LOCAL, address.bytes)
    .attribute(IFA_ADDRESS, address.bytes);
  if (address.family === 4 && prefixLength < 31) {
    writer.attribute(IFA_BROADCAST, lastOf(prefixOf(address, prefixLength)).bytes);
  }
  if (lifetimeSeconds !== undefined) {
    // ifa_cacheinfo: preferred, valid, and two times that only the kernel writes.
    const times = Uint32Array.of(lifetimeSeconds, lifetimeSeconds, 0, 0);
    writer.attribute(IFA_CACHEINFO, new Uint8Array(times.buffer));
  }
  return writer.bytes;
}

function addressText({ address, prefixLength }: InterfaceAddress): string {
  return `${formatAddress(address)}/${prefixLength}`;
}

/** EEXIST when the link has it already. */
export function addAddress(socket: RouteSocket, index: number, entry: InterfaceAddress): void {
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  socket.request(
    `add address ${addressText(entry)}`,
    RTM_NEWADDR,
    flags,
    addressBody(index, entry),
  );
}

/** Gives an address that is there a new lifetime, or adds it. */
export function replaceAddress(socket: RouteSocket, index: number, entry: InterfaceAddress): void {
  const flags = NLM_F_CREATE | NLM_F_REPLACE;
  socket.request(
    `set address ${addressText(entry)}`,
    RTM_NEWADDR,
    flags,
    addressBody(index, entry),
  );
}

export function removeAddress(socket: RouteSocket, index: number, entry: InterfaceAddress): void {
  socket.request(`remove address ${addressText(entry)}`, RTM_DELADDR, 0, addressBody(index, entry));
}

function routeBody(index: number, route: Route, adding: boolean): Uint8Array {
  const { destination, gateway, metric, table, family } = route;
  // A deletion that names no scope and no origin matches any.
  const onLink = gateway === undefined && family === 4 ? SCOPE_LINK : SCOPE_UNIVERSE;
  const writer = new MessageWriter()
    .u8(familyNumber(family), destination?.length ?? 0, 0, 0)
    .u8(table < 256 ? table : 0, adding ? RTPROT_STATIC : 0)
    .u8(adding ? onLink : SCOPE_NOWHERE, RTN_UNICAST)
    .u32(0)
    .attributeU32(RTA_TABLE, table)
    .attributeU32(RTA_OIF, index);
  if (destination !== undefined && destination.length > 0) {
    writer.attribute(RTA_DST, destination.address.bytes);
  }
  if (gateway !== undefined) writer.attribute(RTA_GATEWAY, gateway.bytes);
  if (metric !== 0) writer.attributeU32(RTA_PRIORITY, metric);
  return writer.bytes;
}

function routeText({ destination, gateway }: Route): string {
  const target = destination === undefined ? 'default' : formatPrefix(destination);
  return gateway === undefined ? target : `${target} via ${formatAddress(gateway)}`;
}

/** EEXIST when there is one to the same destination with the same metric. */
export function addRoute(socket: RouteSocket, index: number, route: Route): void {
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  socket.request(
    `add route ${routeText(route)}`,
    RTM_NEWROUTE,
    flags,
    routeBody(index, route, true),
  );
}

export function removeRoute(socket: RouteSocket, index: number, route: Route): void {
  socket.request(
    `remove route ${routeText(route)}`,
    RTM_DELROUTE,
    0,
    routeBody(index, route, false),
  );
}

function ruleBody({ source, table, priority }: Rule): Uint8Array {
  return new MessageWriter()
    .u8(familyNumber(source.family), 0, bitsOf(source.family), 0)
    .u8(table < 256 ? table : 0, 0, 0, FR_ACT_TO_TBL)
    .u32(0)
    .attribute(FRA_SRC, source.bytes)
    .attributeU32(FRA_PRIORITY, priority)
    .attributeU32(FRA_TABLE, table).bytes;
}

export function addRule(socket: RouteSocket, rule: Rule): void {
  const what = `add rule for ${formatAddress(rule.source)}`;
  socket.request(what, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, ruleBody(rule));
}

export function removeRule(socket: RouteSocket, rule: Rule): void {
  socket.request(`remove rule for ${formatAddress(rule.source)}`, RTM_DELRULE, 0, ruleBody(rule));
}

/** Tables that rules of this priority look into, of both families. */
export function tablesOfRules(socket: RouteSocket, priority: number): Set<number> {
  const rules = socket.dump('list rules', RTM_GETRULE, new Uint8Array(RULE_BYTES));
  const tables = new Set<number>();
  for (const { body } of rules) {
    const attributes = attributesOf(body, RULE_BYTES);
    const [own, table] = [attributes.get(FRA_PRIORITY), attributes.get(FRA_TABLE)];
    if (own !== undefined && table !== undefined && readU32(own, 0) === priority) {
      tables.add(readU32(table, 0));
    }
  }
  return tables;
}
