import { invalid } from './fields.ts';

/** Name resolution of a network namespace, from its adapters. */
export interface DnsConfig {
  /** Search domains. */
  readonly searches: readonly string[];
  /** Addresses of name servers. */
  readonly servers: readonly string[];
}

/** resolv.conf(5): more search domains than this are ignored by older resolvers, so they are refused. */
const mostSearches = 6;

/** Text of /etc/hosts for a host of that name. */
export function hostsFile(hostname: string): string {
  const label = hostname.split('.')[0] ?? '';
  const names = label === hostname ? hostname : `${hostname} ${label}`;
  return [
    '127.0.0.1 localhost',
    `127.0.0.1 ${names}`,
    '',
    '# The following lines are desirable for IPv6 capable hosts',
    '::1     ip6-localhost ip6-loopback',
    'fe00::0 ip6-localnet',
    'ff00::0 ip6-mcastprefix',
    'ff02::1 ip6-allnodes',
    'ff02::2 ip6-allrouters',
    '',
  ].join('\n');
}

/** Text of /etc/resolv.conf; empty without domains and servers. AgentError 'invalid-argument' for more than six domains, and for a value that would be more than one word. */
export function resolvConf(dns: DnsConfig): string {
  const searches = unique(dns.searches);
  const servers = unique(dns.servers);
  if (searches.length > mostSearches) {
    throw invalid('DNSSuffix', `has ${searches.length} search domains, at most ${mostSearches}`);
  }
  for (const [field, values] of [
    ['DNSSuffix', searches],
    ['DNSServerList', servers],
  ] as const) {
    // White space would start another word or line, and so another directive.
    const bad = values.find((value) => /\s|\0/.test(value));
    if (bad !== undefined) throw invalid(field, `${JSON.stringify(bad)} is not one word`);
  }
  const search = searches.length === 0 ? '' : `search ${searches.join(' ')}\n`;
  return search + servers.map((server) => `nameserver ${server}\n`).join('');
}

function unique(values: readonly string[]): string[] {
  const words = values.map((value) => value.trim().toLowerCase()).filter((value) => value !== '');
  return [...new Set(words)];
}

/** HOST_NAME_MAX of sethostname(2), which the runtime would only fail at later. */
const longestHostname = 64;

/** Checks a host name from the host: it is written to /etc/hosts, where white space would add an entry of the host's choice. */
export function checkHostname(hostname: string, field: string): void {
  if (hostname.length > longestHostname) {
    throw invalid(field, `is longer than ${longestHostname} characters`);
  }
  if (/^[A-Za-z0-9_.-]*$/.test(hostname)) return;
  throw invalid(field, 'must be letters, digits and "_", "-", "."');
}
