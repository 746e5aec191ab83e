/** Bounds of what a host may ask of the network; LIMITS.md lists them. */
export const networkLimits = {
  /** Network namespaces the host has named; beyond it one without adapters and container is forgotten, or the request refused. */
  namespaces: 4096,
  /** Adapters of one namespace. */
  adaptersPerNamespace: 64,
  /** Addresses of one adapter. */
  addressesPerAdapter: 256,
  /** Routes of one adapter. */
  routesPerAdapter: 1024,
  /** Search domains, and name servers, of one adapter. */
  dnsEntriesPerAdapter: 32,
  /** Characters of a namespace's or an adapter's id. */
  idCharacters: 128,
  /** Milliseconds that an adapter may take to appear in the VM. */
  adapterWaitMs: 5000,
  /** Milliseconds for a DHCP server to give an address. */
  dhcpWaitMs: 30_000,
} as const;
