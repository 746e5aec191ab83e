import type { AdapterSettings } from '../../src/network/settings.ts';

/** An adapter that a host says nothing of. */
export const emptyAdapter: AdapterSettings = {
  NamespaceID: 'ns',
  ID: '0badcafe-0000-4000-8000-000000000001',
  MacAddress: '',
  IPConfigs: [],
  Routes: [],
  IPAddress: '',
  PrefixLength: 0,
  GatewayAddress: '',
  IPv6Address: '',
  IPv6PrefixLength: 0,
  IPv6GatewayAddress: '',
  DNSSuffix: '',
  DNSServerList: '',
  PolicyBasedRouting: false,
  EnableLowMetric: false,
  EncapOverhead: 0,
  VPCIAssigned: false,
};
