import { AgentError } from '../errors.ts';
import {
  bitsOf,
  contains,
  type IpAddress,
  type IpPrefix,
  isMulticast,
  isUnspecified,
  parseAddress,
  prefixOf,
  sameAddress,
} from './address.ts';
import { networkLimits } from './limits.ts';
import type { InterfaceAddress } from './rtnetlink.ts';

/** A network adapter as hosts describe it: with `IPConfigs` and `Routes` since 2025, with single addresses before. */
export interface AdapterSettings {
  readonly NamespaceID: string;
  readonly ID: string;
  readonly MacAddress: string;
  readonly IPConfigs: readonly { readonly IPAddress: string; readonly PrefixLength: number }[];
  readonly Routes: readonly {
    readonly NextHop: string;
    readonly DestinationPrefix: string;
    readonly Metric: number;
  }[];
  readonly IPAddress: string;
  readonly PrefixLength: number;
  readonly GatewayAddress: string;
  readonly IPv6Address: string;
  readonly IPv6PrefixLength: number;
  readonly IPv6GatewayAddress: string;
  readonly DNSSuffix: string;
  readonly DNSServerList: string;
  readonly PolicyBasedRouting: boolean;
  readonly EnableLowMetric: boolean;
  readonly EncapOverhead: number;
  readonly VPCIAssigned: boolean;
}

/** A route as it was asked for; which table and metric it gets depends on the adapter's place. */
export interface RouteConfig {
  /** Undefined: default route. */
  readonly destination: IpPrefix | undefined;
  readonly family: 4 | 6;
  /** Undefined: on the link. */
  readonly gateway: IpAddress | undefined;
  /** 0: none asked for. */
  readonly metric: number;
  /** The one it has when the adapter is not the preferred one. */
  readonly lowMetric: number;
}

/** Settings that have been checked; nothing in them can harm a file, a path or the kernel's parser. */
export interface AdapterConfig {
  /** In lower case. */
  readonly id: string;
  readonly mac: Uint8Array | undefined;
  /** Empty: ask a DHCP server. */
  readonly addresses: readonly InterfaceAddress[];
  /** Not used without addresses: a DHCP server gives its own. */
  readonly routes: readonly RouteConfig[];
  readonly searches: readonly string[];
  readonly servers: readonly string[];
  /** Bytes of each packet that the host's encapsulation needs. */
  readonly encapOverhead: number;
  /** Whether the order of the adapters decides about lowMetric. */
  readonly policyBasedRouting: boolean;
  readonly lowMetric: boolean;
  readonly vpciAssigned: boolean;
}

/** Metric of a default route whose host names a gateway and no metric, and of any route without one on an adapter that is not preferred. */
const GATEWAY_METRIC = 1;
const LOW_METRIC = 500;

function invalid(field: string, problem: string): AgentError {
  const path = `Request.Settings.${field}`;
  return new AgentError('invalid-argument', `${path}: ${problem}`, {
    operation: 'network',
    field: path,
  });
}

/** At most this much of a host's text is quoted back. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

/** Ids are names of directories in sysfs and keys of maps. */
function checkId(field: string, id: string): string {
  if (id.length > networkLimits.idCharacters)
    throw invalid(field, `longer than ${networkLimits.idCharacters} characters`);
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.:-]*$/.test(id)) throw invalid(field, `${quoted(id)} is no id`);
  return id.toLowerCase();
}

/** The id of a namespace, in lower case: hosts do not agree on the case. */
export function parseNamespaceId(id: string): string {
  return checkId('NamespaceID', id);
}

/** All that removing needs. */
export function parseAdapterId(id: string): string {
  return checkId('ID', id);
}

function parseMac(text: string): Uint8Array | undefined {
  if (text === '') return undefined;
  if (!/^[0-9a-f]{2}(?:([:-]?)[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}$/i.test(text)) {
    throw invalid('MacAddress', `${quoted(text)} is no hardware address`);
  }
  return Uint8Array.from(Buffer.from(text.replaceAll(/[:-]/g, ''), 'hex'));
}

function address(field: string, text: string): IpAddress {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw invalid(field, `${quoted(text)} is no IP address`);
  if (isMulticast(parsed)) throw invalid(field, `${quoted(text)} is a multicast address`);
  return parsed;
}

function interfaceAddress(
  fields: { address: string; length: string },
  text: string,
  prefixLength: number,
): InterfaceAddress {
  const parsed = address(fields.address, text);
  if (isUnspecified(parsed))
    throw invalid(fields.address, `${quoted(text)} is no address of a host`);
  const most = bitsOf(parsed.family);
  if (prefixLength < 1 || prefixLength > most) {
    throw invalid(fields.length, `must be 1 to ${most}, is ${prefixLength}`);
  }
  return { address: parsed, prefixLength };
}

function addressesOf(settings: AdapterSettings): InterfaceAddress[] {
  const { IPConfigs, IPAddress, PrefixLength, IPv6Address, IPv6PrefixLength } = settings;
  if (IPConfigs.length > networkLimits.addressesPerAdapter) {
    throw invalid('IPConfigs', `more than ${networkLimits.addressesPerAdapter} addresses`);
  }
  const found = IPConfigs.map((config, index) => {
    const field = `IPConfigs[${index}]`;
    const fields = { address: `${field}.IPAddress`, length: `${field}.PrefixLength` };
    return {
      field: fields.address,
      ...interfaceAddress(fields, config.IPAddress, config.PrefixLength),
    };
  });
  for (const [field, lengthField, text, length] of [
    ['IPAddress', 'PrefixLength', IPAddress, PrefixLength],
    ['IPv6Address', 'IPv6PrefixLength', IPv6Address, IPv6PrefixLength],
  ] as const) {
    if (text === '') continue;
    found.push({
      field,
      ...interfaceAddress({ address: field, length: lengthField }, text, length),
    });
  }
  const seen = new Set<string>();
  return found.map(({ field, ...entry }) => {
    const key = entry.address.bytes.join('.');
    if (seen.has(key)) throw invalid(field, 'the adapter has this address already');
    seen.add(key);
    return entry;
  });
}

function destinationOf(field: string, text: string): IpPrefix {
  const match = /^([^/]{1,45})\/(0|[1-9][0-9]{0,2})$/.exec(text);
  const parsed = match === null ? undefined : parseAddress(match[1] ?? '');
  const length = Number(match?.[2]);
  if (parsed === undefined || length > bitsOf(parsed.family)) {
    throw invalid(field, `${quoted(text)} is no address range`);
  }
  const prefix = prefixOf(parsed, length);
  if (!sameAddress(prefix.address, parsed)) {
    throw invalid(field, `${quoted(text)} has bits set beyond its length`);
  }
  return prefix;
}

function routeOf(route: AdapterSettings['Routes'][number], field: string): RouteConfig | undefined {
  const destination = destinationOf(`${field}.DestinationPrefix`, route.DestinationPrefix);
  const { family } = destination.address;
  const hop = route.NextHop === '' ? undefined : address(`${field}.NextHop`, route.NextHop);
  const isDefault = destination.length === 0;
  if (isDefault && hop === undefined)
    throw invalid(`${field}.NextHop`, 'a default route needs one');
  // Hosts write a next hop of zeros for none.
  const gateway = hop === undefined || isUnspecified(hop) ? undefined : hop;
  if (isDefault && gateway === undefined) return undefined;
  if (gateway !== undefined && gateway.family !== family) {
    throw invalid(`${field}.NextHop`, 'not of the same family as the destination');
  }
  return {
    destination: isDefault ? undefined : destination,
    family,
    gateway,
    metric: route.Metric,
    lowMetric: route.Metric || LOW_METRIC,
  };
}

function routesOf(settings: AdapterSettings): RouteConfig[] {
  const { Routes, GatewayAddress, IPv6GatewayAddress } = settings;
  if (Routes.length > networkLimits.routesPerAdapter) {
    throw invalid('Routes', `more than ${networkLimits.routesPerAdapter} routes`);
  }
  const routes = Routes.map((route, index) => routeOf(route, `Routes[${index}]`));
  for (const [field, text, family] of [
    ['GatewayAddress', GatewayAddress, 4],
    ['IPv6GatewayAddress', IPv6GatewayAddress, 6],
  ] as const) {
    if (text === '') continue;
    const gateway = address(field, text);
    if (isUnspecified(gateway)) continue;
    if (gateway.family !== family)
      throw invalid(field, `${quoted(text)} is no IPv${family} address`);
    routes.push({
      destination: undefined,
      family,
      gateway,
      metric: GATEWAY_METRIC,
      lowMetric: LOW_METRIC,
    });
  }
  return routes.filter((route) => route !== undefined);
}

function words(field: string, list: string): string[] {
  if (list.length > networkLimits.dnsEntriesPerAdapter * 256) throw invalid(field, 'too long');
  const entries = list
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .filter((entry) => entry !== '');
  if (entries.length > networkLimits.dnsEntriesPerAdapter) {
    throw invalid(field, `more than ${networkLimits.dnsEntriesPerAdapter} entries`);
  }
  return entries;
}

/** Search domains that are one word of resolv.conf(5) and nothing else. */
function searchesOf(list: string): string[] {
  return words('DNSSuffix', list).map((name) => {
    if (/^[a-z0-9_.-]{1,253}$/.test(name)) return name;
    throw invalid('DNSSuffix', `${quoted(name)} is no domain name`);
  });
}

function serversOf(list: string): string[] {
  return words('DNSServerList', list).map((text) => {
    const [bare = '', zone] = text.split('%', 2);
    const zoned = zone === undefined || /^[a-z0-9_.-]{1,15}$/.test(zone);
    if (zoned && parseAddress(bare) !== undefined) return text;
    throw invalid('DNSServerList', `${quoted(text)} is no IP address`);
  });
}

/** Checks all a host says of an adapter. AgentError 'invalid-argument' names the field. */
export function parseAdapter(settings: AdapterSettings): AdapterConfig {
  const addresses = addressesOf(settings);
  const routes = routesOf(settings);
  const orphan = routes.find(
    (route) => !addresses.some(({ address: a }) => a.family === route.family),
  );
  if (orphan !== undefined && addresses.length > 0) {
    throw invalid('Routes', `a route of IPv${orphan.family}, of which the adapter has no address`);
  }
  return {
    id: parseAdapterId(settings.ID),
    mac: parseMac(settings.MacAddress),
    addresses,
    routes,
    searches: searchesOf(settings.DNSSuffix),
    servers: serversOf(settings.DNSServerList),
    encapOverhead: settings.EncapOverhead,
    policyBasedRouting: settings.PolicyBasedRouting,
    lowMetric: settings.EnableLowMetric,
    vpciAssigned: settings.VPCIAssigned,
  };
}

/** Whether a next hop needs no route of its own: it is in the range of one of the addresses. */
export function isOnLink(addresses: readonly InterfaceAddress[], gateway: IpAddress): boolean {
  return addresses.some((entry) => contains(prefixOf(entry.address, entry.prefixLength), gateway));
}
