/** Network adapters plugged into the running VM, on networks that only its containers are on. */
import { expect, test } from 'vitest';
import {
  addressesOf,
  createNetworked,
  ip,
  linkNames,
  modifyNetwork,
  networkedSpec,
  newGuid,
  pidOf,
  resolvConfOf,
  routesOf,
} from '../support/network-lab.ts';
import { type Session, useRootfs } from '../support/suite.ts';
import { withDevices } from '../support/vm-storage.ts';

useRootfs();

async function ping(s: Session, id: string, address: string): Promise<void> {
  const process = await s.sh(id, `ping -c 1 -w 20 ${address}`);
  const { exitCode, stdout, stderr } = await s.finish(id, process);
  expect(exitCode, `${stdout}${stderr}`).toBe(0);
}

/** An address that may still be checked for duplicates cannot be used yet: it is used once it can. */
async function ping6(s: Session, id: string, address: string): Promise<void> {
  const usable = 'while ip -6 addr | grep -q tentative; do sleep 0.1; done';
  const process = await s.sh(id, `${usable}; ping -6 -c 1 -w 20 ${address}`);
  const { exitCode, stdout, stderr } = await s.finish(id, process);
  expect(exitCode, `${stdout}${stderr}`).toBe(0);
}

test('two containers on one network: by PCI address before, by MAC after their creation', () =>
  withDevices(async (s, devices) => {
    const [net, otherNet] = [newGuid(), newGuid()];
    const addFirst = modifyNetwork(s, 'Add', {
      NamespaceID: net,
      ID: '0000:00:1d.0',
      DNSServerList: '10.77.0.53',
      IPConfigs: [
        { IPAddress: '10.77.0.2', PrefixLength: 24 },
        { IPAddress: 'fd77::2', PrefixLength: 64 },
      ],
      Routes: [
        { NextHop: '10.77.0.3', DestinationPrefix: '0.0.0.0/0' },
        { NextHop: 'fd77::3', DestinationPrefix: '::/0' },
        { NextHop: '10.77.0.3', DestinationPrefix: '172.16.0.0/12', Metric: 9 },
      ],
    });
    // It is plugged in while the request waits for it.
    const first = await devices.nic(7, '52:54:00:77:00:02', 0x1d);
    await addFirst;
    const one = await createNetworked(s, 'one', net);
    const two = await createNetworked(s, 'two', otherNet);
    const second = await devices.nic(7, '52:54:00:77:00:03');
    const adapter = { NamespaceID: otherNet, ID: newGuid(), MacAddress: '52-54-00-77-00-03' };
    await modifyNetwork(s, 'Add', {
      ...adapter,
      IPAddress: '10.77.0.3',
      PrefixLength: 24,
      IPv6Address: 'fd77::3',
      IPv6PrefixLength: 64,
    });

    expect(await addressesOf(s, one, 'eth0')).toEqual(['10.77.0.2/24', 'fd77::2/64']);
    expect(await addressesOf(s, two, 'eth0')).toEqual(['10.77.0.3/24', 'fd77::3/64']);
    expect(await routesOf(s, one)).toEqual([
      '10.77.0.0/24',
      '172.16.0.0/12 via 10.77.0.3 metric 9',
      'default via 10.77.0.3',
    ]);
    expect(await ip(s, one, '-6 route show default')).toEqual([
      expect.objectContaining({ gateway: 'fd77::3', dev: 'eth0' }),
    ]);
    expect(await resolvConfOf(s, 'one')).toBe('nameserver 10.77.0.53\n');
    const inits = [await s.startInit('one'), await s.startInit('two')] as const;
    await ping(s, 'one', '10.77.0.3');
    await ping(s, 'two', '10.77.0.2');
    await ping6(s, 'one', 'fd77::3');

    // Removed from the container it is the VM's again, and can be unplugged.
    await modifyNetwork(s, 'Remove', { NamespaceID: otherNet, ID: adapter.ID });
    expect(await linkNames(s, two)).toEqual(['lo']);
    expect(await linkNames(s, 'agent')).toEqual(['eth0', 'lo']);
    await devices.detach(second);
    await s.killAndDelete('one', inits[0]);
    await modifyNetwork(s, 'Remove', { NamespaceID: net, ID: '0000:00:1d.0' });
    await devices.detach(first);
    await s.killAndDelete('two', inits[1]);
    expect(await linkNames(s, 'agent')).toEqual(['lo']);
  }));

test('several networks of one container, the further ones with rules of their own', () =>
  withDevices(async (s, devices) => {
    const namespace = newGuid();
    const pid = await createNetworked(s, 'many', namespace);
    const ids = [newGuid(), newGuid(), newGuid()] as const;
    for (const [index, ID] of ids.entries()) {
      const number = index + 1;
      await devices.nic(10 + number, `52:54:00:78:00:0${number}`);
      await modifyNetwork(s, 'Add', {
        NamespaceID: namespace,
        ID,
        MacAddress: `52-54-00-78-00-0${number}`,
        PolicyBasedRouting: true,
        IPConfigs: [{ IPAddress: `10.78.${number}.2`, PrefixLength: 24 }],
        Routes: [{ NextHop: `10.78.${number}.1`, DestinationPrefix: '0.0.0.0/0' }],
      });
    }
    expect(await linkNames(s, pid)).toEqual(['eth0', 'eth1', 'eth2', 'lo']);
    for (const number of [2, 3]) {
      const [route] = await ip(s, pid, `route get 198.51.100.1 from 10.78.${number}.2`);
      expect(route).toMatchObject({ gateway: `10.78.${number}.1`, dev: `eth${number - 1}` });
    }
    // With the container's end they are the VM's again, and with their unplugging nobody's.
    await s.delete('many');
    expect(await linkNames(s, 'agent')).toEqual(['eth0', 'eth1', 'eth2', 'lo']);
    for (const ID of ids) await modifyNetwork(s, 'Remove', { NamespaceID: namespace, ID });
  }));

test('an address by DHCP from a server on the network', () =>
  withDevices(async (s, devices) => {
    const [net, otherNet] = [newGuid(), newGuid()];
    const server = await createNetworked(s, 'server', net);
    await devices.nic(8, '52:54:00:79:00:01');
    const fixed = { NamespaceID: net, ID: newGuid(), MacAddress: '52-54-00-79-00-01' };
    await modifyNetwork(s, 'Add', {
      ...fixed,
      IPConfigs: [{ IPAddress: '10.79.0.1', PrefixLength: 24 }],
    });
    const [config, leases] = ['/run/udhcpd.conf', '/run/udhcpd.leases'];
    await s.uvmSh(`: >${leases}; cat >${config} <<END
start 10.79.0.50
end 10.79.0.60
interface eth0
lease_file ${leases}
pidfile /run/udhcpd.pid
option subnet 255.255.255.0
option router 10.79.0.1
option dns 10.79.0.53
option domain pod.example
option lease 3600
END`);
    const daemon = await s.execInUvm({
      CommandArgs: ['nsenter', '-t', `${server}`, '-n', 'udhcpd', '-f', '-S', config],
      Environment: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    });
    await s.createFrom('client', networkedSpec(otherNet, { args: 'exec sleep 1000' }));
    const client = await pidOf(s, 'client');
    await devices.nic(8, '52:54:00:79:00:02');
    const leased = { NamespaceID: otherNet, ID: newGuid(), MacAddress: '52-54-00-79-00-02' };
    await modifyNetwork(s, 'Add', leased);
    const [address = ''] = await addressesOf(s, client, 'eth0');
    expect(address).toMatch(/^10\.79\.0\.(5\d|60)\/24$/);
    expect(await routesOf(s, client)).toEqual(['10.79.0.0/24', 'default via 10.79.0.1']);
    expect(await resolvConfOf(s, 'client')).toBe('search pod.example\nnameserver 10.79.0.53\n');
    const init = await s.startInit('client');
    await ping(s, 'client', '10.79.0.1');
    await s.killAndDelete('client', init);
    await modifyNetwork(s, 'Remove', { NamespaceID: otherNet, ID: leased.ID });
    await s.signal('00000000-0000-0000-0000-000000000000', daemon.pid, 15);
    await s.finish('00000000-0000-0000-0000-000000000000', daemon);
    await s.uvmSh(`rm -f ${config} ${leases} /run/udhcpd.pid`);
    await s.delete('server');
    await modifyNetwork(s, 'Remove', { NamespaceID: net, ID: fixed.ID });
  }));
