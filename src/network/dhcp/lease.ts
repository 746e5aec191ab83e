import {
  formatAddress,
  type IpAddress,
  type IpPrefix,
  isMulticast,
  isUnspecified,
  prefixOf,
} from '../address.ts';
import type { InterfaceAddress } from '../rtnetlink.ts';
import type { RouteConfig } from '../settings.ts';
import { DhcpOption, type Incoming } from './message.ts';

/** What a server granted, checked: a server on the network is trusted no more than the host. */
export interface Lease {
  readonly address: InterfaceAddress;
  readonly routes: readonly RouteConfig[];
  readonly searches: readonly string[];
  readonly servers: readonly string[];
  /** Who granted it: address (option 54), and the link address its answer came from. */
  readonly server: Uint8Array;
  readonly serverMac: Uint8Array;
  /** Seconds from the request to: renewal, request to any server, end. Infinity: for ever. */
  readonly t1: number;
  readonly t2: number;
  readonly seconds: number;
}

const FOREVER = 0xffff_ffff;
/** Metric and table are decided where it is used; on an adapter that is not preferred they are low. */
const LOW_METRIC = 500;
const MOST_ROUTES = 256;
const MOST_SERVERS = 8;

function v4(bytes: Uint8Array): IpAddress {
  return { family: 4, bytes: Uint8Array.from(bytes) };
}

/** A unicast address of a host. */
function host(bytes: Uint8Array | undefined): IpAddress | undefined {
  if (bytes === undefined || bytes.length < 4) return undefined;
  const address = v4(bytes.subarray(0, 4));
  const first = bytes[0] ?? 0;
  const usable = !isUnspecified(address) && !isMulticast(address) && first < 240 && first !== 127;
  return usable ? address : undefined;
}

function prefixLengthOf(mask: Uint8Array | undefined): number | undefined {
  if (mask?.length !== 4) return undefined;
  const bits = Buffer.from(mask).readUInt32BE(0);
  const length = Math.clz32(~bits);
  return length > 0 && (bits | 0) === (length === 32 ? -1 : ~(0xffff_ffff >>> length))
    ? length
    : undefined;
}

function seconds(value: Uint8Array | undefined): number | undefined {
  return value?.length === 4 ? Buffer.from(value).readUInt32BE(0) : undefined;
}

function addressesIn(value: Uint8Array | undefined): IpAddress[] {
  const found: IpAddress[] = [];
  for (let at = 0; value !== undefined && at + 4 <= value.length; at += 4) {
    const address = host(value.subarray(at, at + 4));
    if (address !== undefined) found.push(address);
  }
  return found;
}

function route(destination: IpPrefix | undefined, gateway: IpAddress | undefined): RouteConfig {
  return { destination, family: 4, gateway, metric: 0, lowMetric: LOW_METRIC };
}

/** RFC 3442: length of the prefix, its bytes that count, the gateway; 0.0.0.0 is the link itself. */
function classlessRoutes(value: Uint8Array): RouteConfig[] {
  const routes = new Map<string, RouteConfig>();
  for (let at = 0; at < value.length && routes.size < MOST_ROUTES; ) {
    const length = value[at] ?? 0;
    const count = Math.ceil(length / 8);
    const gatewayAt = at + 1 + count;
    if (length > 32 || gatewayAt + 4 > value.length) break;
    const bytes = new Uint8Array(4);
    bytes.set(value.subarray(at + 1, gatewayAt));
    const prefix = prefixOf({ family: 4, bytes }, length);
    const hop = v4(value.subarray(gatewayAt, gatewayAt + 4));
    const gateway = isUnspecified(hop) ? undefined : host(hop.bytes);
    at = gatewayAt + 4;
    if (gateway === undefined && !(isUnspecified(hop) && length > 0)) continue;
    const key = `${formatAddress(prefix.address)}/${length}`;
    if (!routes.has(key)) routes.set(key, route(length === 0 ? undefined : prefix, gateway));
  }
  return [...routes.values()];
}

function routesOf(options: Incoming['options']): RouteConfig[] {
  const classless = options.get(DhcpOption.routes);
  // A client that knows option 121 must not look at option 3 when both are there (RFC 3442).
  if (classless !== undefined) return classlessRoutes(classless);
  const [router] = addressesIn(options.get(DhcpOption.router));
  return router === undefined ? [] : [route(undefined, router)];
}

function searchesOf(options: Incoming['options']): string[] {
  const text = Buffer.from(options.get(DhcpOption.domain) ?? []).toString('latin1');
  return text
    .replace(/\0+$/, '')
    .toLowerCase()
    .split(' ')
    .filter((name) => /^[a-z0-9_.-]{1,253}$/.test(name));
}

/** Undefined when what a lease consists of is missing or unusable. */
export function leaseOf(message: Incoming, serverMac: Uint8Array): Lease | undefined {
  const { options } = message;
  const address = host(message.yourAddress);
  const server = host(options.get(DhcpOption.server));
  const prefixLength = prefixLengthOf(options.get(DhcpOption.mask));
  const time = seconds(options.get(DhcpOption.leaseTime));
  if (address === undefined || server === undefined || prefixLength === undefined) return undefined;
  if (time === undefined || time === 0) return undefined;
  const total = time === FOREVER ? Number.POSITIVE_INFINITY : time;
  const t2 = Math.min(seconds(options.get(DhcpOption.t2)) ?? total * 0.875, total);
  const t1 = Math.min(seconds(options.get(DhcpOption.t1)) ?? total * 0.5, t2);
  const lifetime = Number.isFinite(total) ? { lifetimeSeconds: time } : {};
  return {
    address: { address, prefixLength, ...lifetime },
    routes: routesOf(options),
    searches: searchesOf(options),
    servers: addressesIn(options.get(DhcpOption.dns)).slice(0, MOST_SERVERS).map(formatAddress),
    server: server.bytes,
    serverMac: Uint8Array.from(serverMac),
    t1,
    t2,
    seconds: total,
  };
}
