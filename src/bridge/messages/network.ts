import { array, boolean, doc, object, omitZero, string, u8, u16 } from '../../schema/schema.ts';

const ipConfig = object({ IPAddress: omitZero(string), PrefixLength: omitZero(u8) });

const route = object({
  NextHop: omitZero(doc('Empty or zeros: on the link', string)),
  DestinationPrefix: omitZero(doc('`0.0.0.0/0`, `::/0`: default route', string)),
  Metric: omitZero(u16),
});

/** Settings of ResourceType Network, of newer and older hosts. */
export const networkAdapter = object({
  NamespaceID: omitZero(doc('Made when it is new', string)),
  ID: omitZero(doc('Guid of the vmbus device, or a PCI address', string)),
  MacAddress: omitZero(doc('Finds the adapter on machines without a vmbus', string)),
  DNSSuffix: omitZero(doc('Search domains, with commas', string)),
  DNSServerList: omitZero(doc('Addresses, with commas', string)),
  EncapOverhead: omitZero(doc('Taken off the MTU', u16)),
  VPCIAssigned: omitZero(doc('The adapter is on a PCI bus that the vmbus device carries', boolean)),
  IPConfigs: omitZero(doc('None and no IPAddress: DHCP', array(ipConfig))),
  Routes: omitZero(array(route)),
  PolicyBasedRouting: omitZero(doc('All adapters but the first get EnableLowMetric', boolean)),
  EnableLowMetric: omitZero(doc('Routes in table 101, for packets from its addresses', boolean)),
  IPAddress: omitZero(doc('Older hosts', string)),
  PrefixLength: omitZero(doc('Older hosts', u8)),
  GatewayAddress: omitZero(doc('Older hosts', string)),
  IPv6Address: omitZero(doc('Older hosts', string)),
  IPv6PrefixLength: omitZero(doc('Older hosts', u8)),
  IPv6GatewayAddress: omitZero(doc('Older hosts', string)),
});
