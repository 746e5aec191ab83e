import { expect, test } from 'vitest';
import {
  addressesOf,
  createNetworked,
  ip,
  linkNames,
  modifyNetwork,
  plug,
  resolvConfOf,
  routesOf,
  withVmbus,
} from '../support/network-lab.ts';
import { useRootfs } from '../support/suite.ts';
import { serveDhcp } from '../support/udhcpd.ts';

useRootfs();

const NAMESPACE = 'a1b2c3d4-0000-4000-8000-000000000002';

test('without an address an adapter gets one from a DHCP server, with routes and name servers', () =>
  withVmbus(async (s) => {
    const nic = await plug(s, 'eth0', ['10.9.0.1/24']);
    const stop = await serveDhcp(s, nic.peer, {
      range: ['10.9.0.20', '10.9.0.30'],
      leaseSeconds: 3600,
      options: [
        'opt router 10.9.0.1',
        'opt dns 10.9.0.53 10.9.0.54',
        'opt domain dhcp.example',
        'opt staticroutes 10.77.0.0/16 10.9.0.7, 0.0.0.0/0 10.9.0.1',
      ],
    });
    await modifyNetwork(s, 'Add', {
      NamespaceID: NAMESPACE,
      ID: nic.id,
      DNSServerList: '10.0.0.1',
    });
    const pid = await createNetworked(s, 'dhcp', NAMESPACE);
    expect(await addressesOf(s, pid, 'eth0')).toEqual([
      expect.stringMatching(/^10\.9\.0\.2\d\/24$/),
    ]);
    expect(await routesOf(s, pid)).toEqual([
      '10.77.0.0/16 via 10.9.0.7',
      '10.9.0.0/24',
      'default via 10.9.0.1',
    ]);
    expect(await resolvConfOf(s, 'dhcp')).toBe(
      'search dhcp.example\nnameserver 10.0.0.1\nnameserver 10.9.0.53\nnameserver 10.9.0.54\n',
    );
    const [link] = await ip(s, pid, 'addr show dev eth0');
    // The kernel knows when the address ends, whatever becomes of the agent.
    const lifetime = link.addr_info[0].valid_life_time;
    expect(lifetime).toBeGreaterThan(0);
    expect(lifetime).toBeLessThanOrEqual(3600);

    await modifyNetwork(s, 'Remove', { NamespaceID: NAMESPACE, ID: nic.id });
    expect(await linkNames(s, pid)).toEqual(['lo']);
    expect(await resolvConfOf(s, 'dhcp')).toBe('');
    await s.delete('dhcp');
    await stop();
  }));

test('a lease is renewed before it ends, and another is asked for when it is lost', () =>
  withVmbus(async (s) => {
    const nic = await plug(s, 'eth0', ['10.9.0.1/24', '10.8.0.1/24']);
    const leaseSeconds = 4;
    const stop = await serveDhcp(s, nic.peer, { range: ['10.9.0.20', '10.9.0.20'], leaseSeconds });
    const pid = await createNetworked(s, 'renew', NAMESPACE);
    await modifyNetwork(s, 'Add', { NamespaceID: NAMESPACE, ID: nic.id });
    const lifetime = async (): Promise<number> => {
      const [link] = await ip(s, pid, 'addr show dev eth0');
      return link.addr_info[0]?.valid_life_time ?? 0;
    };
    let before = await lifetime();
    for (let now = before; now <= before; now = await lifetime()) before = now;
    expect(await addressesOf(s, pid, 'eth0')).toEqual(['10.9.0.20/24']);

    await stop();
    const next = await serveDhcp(s, nic.peer, { range: ['10.8.0.20', '10.8.0.20'], leaseSeconds });
    while (!(await addressesOf(s, pid, 'eth0')).includes('10.8.0.20/24'));
    expect(await addressesOf(s, pid, 'eth0')).toEqual(['10.8.0.20/24']);
    await s.delete('renew');
    await next();
  }));

test('a wait for a DHCP server ends with the removal of its adapter, and with its container', () =>
  withVmbus(async (s) => {
    const pid = await createNetworked(s, 'wait', NAMESPACE);
    const settings = { NamespaceID: NAMESPACE, ID: (await plug(s, 'eth0')).id };
    const moved = async () => {
      while (!(await linkNames(s, pid)).includes('eth0'));
    };
    const first = modifyNetwork(s, 'Add', settings).catch((error: unknown) => String(error));
    await moved();
    await modifyNetwork(s, 'Remove', settings);
    expect(await first).toContain('was removed');
    expect(await linkNames(s, pid)).toEqual(['lo']);

    const second = modifyNetwork(s, 'Add', settings).catch((error: unknown) => String(error));
    await moved();
    await s.delete('wait');
    expect(await second).toContain('the container has ended');
  }));

test('a container that ends while its create waits for a DHCP server gives the adapter back', () =>
  withVmbus(async (s) => {
    const nic = await plug(s, 'eth0');
    await modifyNetwork(s, 'Add', { NamespaceID: NAMESPACE, ID: nic.id });
    const created = createNetworked(s, 'dies', NAMESPACE).catch((error: unknown) => String(error));
    while ((await linkNames(s, 'agent')).includes('eth0'));
    // The agent has a pid namespace of its own: there is no other.
    await s.uvmSh("kill -9 $(grep -l 'runc:\\[2:INIT' /proc/[0-9]*/comm | cut -d/ -f3)");
    expect(await created).toContain('the container has ended');
    expect(await linkNames(s, 'agent')).toEqual(['eth0', 'lo', 'p-eth0']);
    await modifyNetwork(s, 'Remove', { NamespaceID: NAMESPACE, ID: nic.id });
    await createNetworked(s, 'dies', NAMESPACE);
    await s.delete('dies');
  }));

test('a server that starts late is found', () =>
  withVmbus(async (s) => {
    const nic = await plug(s, 'eth0', ['10.9.0.1/24']);
    const pid = await createNetworked(s, 'late', NAMESPACE);
    const added = modifyNetwork(s, 'Add', { NamespaceID: NAMESPACE, ID: nic.id });
    while (!(await linkNames(s, pid)).includes('eth0'));
    const stop = await serveDhcp(s, nic.peer, {
      range: ['10.9.0.20', '10.9.0.20'],
      leaseSeconds: 600,
    });
    await added;
    expect(await addressesOf(s, pid, 'eth0')).toEqual(['10.9.0.20/24']);
    await s.delete('late');
    await stop();
  }));
