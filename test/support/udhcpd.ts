import type { Session } from './suite.ts';

export interface ServerOptions {
  range: [string, string];
  leaseSeconds: number;
  options?: string[];
}

/** busybox's DHCP server behind an adapter; returns what ends it. */
export async function serveDhcp(
  s: Session,
  peer: string,
  o: ServerOptions,
): Promise<() => Promise<void>> {
  const lines = [
    `interface ${peer}`,
    `start ${o.range[0]}`,
    `end ${o.range[1]}`,
    'lease_file /run/udhcpd.leases',
    'pidfile /run/udhcpd.pid',
    'opt subnet 255.255.255.0',
    `opt lease ${o.leaseSeconds}`,
    ...(o.options ?? []),
  ];
  await s.uvmSh(`printf '${lines.join('\\n')}\\n' > /run/udhcpd.conf; : > /run/udhcpd.leases`);
  // It is its own parent then, and no descriptor of ours stays open in it.
  await s.uvmSh('busybox udhcpd -S /run/udhcpd.conf </dev/null >/dev/null 2>&1');
  return async () => {
    await s.uvmSh(
      'p=$(cat /run/udhcpd.pid); kill $p; while kill -0 $p 2>/dev/null; do sleep 0.05; done',
    );
    await s.uvmSh('rm -f /run/udhcpd.*');
  };
}
