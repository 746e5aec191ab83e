import { expect, test } from 'vitest';
import {
  addressesOf,
  createNetworked,
  deleteSandbox,
  ip,
  linkNames,
  modifyNetwork,
  networkedSpec,
  newGuid,
  pidOf,
  plug,
  resolvConfOf,
  routesOf,
  unplug,
  withVmbus,
} from '../support/network-lab.ts';
import { bundleOf, type Session, shellProcess, useRootfs, withSession } from '../support/suite.ts';

useRootfs();

const NAMESPACE = 'A1B2C3D4-0000-4000-8000-000000000001';
const E_FAIL = 0x80004005;
const NOT_FOUND = 0x80070490;

/** Of the agent, in KiB. */
async function anonymousMemory(s: Session): Promise<number> {
  return Number(
    await s.uvmSh("sed -n 's/^Anonymous: *//p' /proc/$PPID/smaps_rollup | cut -d' ' -f1"),
  );
}

const failsWith = (hresult: number, text: string) =>
  expect.objectContaining({ hresult, message: expect.stringContaining(text) });

const fixed = (address: string, gateway?: string) => ({
  IPConfigs: [{ IPAddress: address, PrefixLength: address.includes(':') ? 64 : 24 }],
  ...(gateway !== undefined && {
    Routes: [{ NextHop: gateway, DestinationPrefix: gateway.includes(':') ? '::/0' : '0.0.0.0/0' }],
  }),
});

test('an adapter added before its container is configured in it and reaches the network', () =>
  withVmbus(async (s) => {
    const nic = await plug(s, 'eth0', ['10.9.0.1/24']);
    await modifyNetwork(s, 'Add', {
      NamespaceID: NAMESPACE,
      ID: nic.id.toUpperCase(),
      DNSSuffix: 'Pod.Example, example.org',
      DNSServerList: '10.9.0.53,fd00::53',
      ...fixed('10.9.0.2', '10.9.0.1'),
    });
    const pid = await createNetworked(s, 'net', NAMESPACE.toLowerCase());
    expect(await addressesOf(s, pid, 'eth0')).toEqual(['10.9.0.2/24']);
    expect(await routesOf(s, pid)).toEqual(['10.9.0.0/24', 'default via 10.9.0.1']);
    expect(await linkNames(s, 'agent')).toEqual(['lo', 'p-eth0']);
    const [loopback] = await ip(s, pid, 'link show dev lo');
    expect(loopback.flags).toContain('UP');

    const init = await s.startInit('net');
    const script = 'ping -c 1 -w 5 10.9.0.1 && cat /etc/resolv.conf';
    const { exitCode, stdout } = await s.finish('net', await s.sh('net', script));
    expect(exitCode).toBe(0);
    expect(stdout).toContain(
      'search pod.example example.org\nnameserver 10.9.0.53\nnameserver fd00::53\n',
    );
    await s.killAndDelete('net', init);
    await modifyNetwork(s, 'Remove', { NamespaceID: NAMESPACE, ID: nic.id });
  }));

test('adapters added after their container are moved into it, each under a free name', () =>
  withVmbus(async (s) => {
    const pid = await createNetworked(s, 'late', NAMESPACE);
    expect(await resolvConfOf(s, 'late')).toBe('');
    for (const [index, subnet] of ['10.9.1', '10.9.2'].entries()) {
      // Each is the first of the machine when it comes, and so is called eth0.
      const nic = await plug(s, 'eth0');
      await s.uvmSh(`ip link set p-eth0 name q${index}`);
      await modifyNetwork(s, 'Add', {
        NamespaceID: NAMESPACE,
        ID: nic.id,
        DNSServerList: `${subnet}.53`,
        IPAddress: `${subnet}.2`,
        PrefixLength: 24,
      });
    }
    expect(await addressesOf(s, pid, 'eth0')).toEqual(['10.9.1.2/24']);
    expect(await addressesOf(s, pid, 'eth1')).toEqual(['10.9.2.2/24']);
    expect(await resolvConfOf(s, 'late')).toBe('nameserver 10.9.1.53\nnameserver 10.9.2.53\n');
    await s.delete('late');
  }));

test('an adapter that is plugged while it is waited for is found', () =>
  withVmbus(async (s) => {
    const pid = await createNetworked(s, 'waits', NAMESPACE);
    const id = newGuid();
    const added = modifyNetwork(s, 'Add', { NamespaceID: NAMESPACE, ID: id, ...fixed('10.9.0.2') });
    await plug(s, 'eth0', [], id);
    await added;
    expect(await addressesOf(s, pid, 'eth0')).toEqual(['10.9.0.2/24']);
    await s.delete('waits');
  }));

test('without an adapter the add fails after its deadline, and the namespace is there all the same', () =>
  withVmbus(async (s) => {
    const id = newGuid();
    const add = modifyNetwork(s, 'Add', { NamespaceID: NAMESPACE, ID: id, ...fixed('10.9.0.2') });
    await expect(add).rejects.toEqual(
      failsWith(
        E_FAIL,
        `timed out waiting for file matching pattern /sys/bus/vmbus/devices/${id}/net`,
      ),
    );
    const sandbox = { annotations: { 'io.kubernetes.cri.container-type': 'sandbox' } };
    const pid = await createNetworked(s, 'pod', NAMESPACE, sandbox);
    expect(await linkNames(s, pid)).toEqual(['lo']);
    await deleteSandbox(s, 'pod');
  }));

test('a sandbox whose namespace nobody named is refused', () =>
  withSession(async (s) => {
    const annotations = { 'io.kubernetes.cri.container-type': 'sandbox' };
    const create = (more: Record<string, string> = {}) =>
      createNetworked(s, 'pod', NAMESPACE, { annotations: { ...annotations, ...more } });
    await expect(create()).rejects.toEqual(
      failsWith(NOT_FOUND, `namespace '${NAMESPACE.toLowerCase()}' not found`),
    );
    await create({ 'io.microsoft.cri.skip-pod-networking': 'TRUE' });
    await deleteSandbox(s, 'pod');
  }));

test('containers without a network namespace of the host stand side by side', () =>
  withSession(async (s) => {
    for (const id of ['one', 'two']) await s.create(id, { args: 'exec sleep 1000' });
    expect(await linkNames(s, await pidOf(s, 'two'))).toEqual(['lo']);
    for (const id of ['one', 'two']) await s.delete(id);
  }));

test('a namespace belongs to one container at a time, and to the next when that has ended', () =>
  withVmbus(async (s) => {
    const pid = await createNetworked(s, 'first', NAMESPACE);
    await expect(createNetworked(s, 'second', NAMESPACE)).rejects.toEqual(
      failsWith(E_FAIL, `previously assigned container pid ${pid} to network namespace`),
    );
    expect(await s.uvmSh(`ls ${bundleOf('second')} 2>&1 || true`)).toContain('No such file');
    await s.delete('first');
    const nic = await plug(s, 'eth0');
    await modifyNetwork(s, 'Add', { NamespaceID: NAMESPACE, ID: nic.id, ...fixed('10.9.0.2') });
    const next = await createNetworked(s, 'second', NAMESPACE);
    expect(await addressesOf(s, next, 'eth0')).toEqual(['10.9.0.2/24']);
    await s.delete('second');
  }));

test('IPv6: address, default route, and a gateway that is only known by its link-local address', () =>
  withVmbus(async (s) => {
    const pid = await createNetworked(s, 'six', NAMESPACE);
    const [global, local] = [await plug(s, 'eth0'), await plug(s, 'eth1')];
    await modifyNetwork(s, 'Add', {
      NamespaceID: NAMESPACE,
      ID: global.id,
      IPAddress: '10.9.0.2',
      PrefixLength: 24,
      GatewayAddress: '10.9.0.1',
      IPv6Address: 'fd00:9::2',
      IPv6PrefixLength: 64,
      IPv6GatewayAddress: 'fd00:9::1',
    });
    await modifyNetwork(s, 'Add', {
      NamespaceID: NAMESPACE,
      ID: local.id,
      ...fixed('fd00:a::2', 'fe80::1'),
    });
    expect(await addressesOf(s, pid, 'eth0')).toEqual(['10.9.0.2/24', 'fd00:9::2/64']);
    expect(await routesOf(s, pid, 'default')).toEqual(['default via 10.9.0.1 metric 1']);
    const routes = await ip(s, pid, '-6 route show default');
    expect(routes).toEqual([
      expect.objectContaining({ gateway: 'fd00:9::1', dev: 'eth0', metric: 1 }),
      expect.objectContaining({ gateway: 'fe80::1', dev: 'eth1' }),
    ]);
    await s.delete('six');
  }));

test('a gateway outside the subnet is reached over a route of its own and keeps its address', () =>
  withVmbus(async (s) => {
    const nic = await plug(s, 'eth0', ['192.0.2.1/32']);
    await s.uvmSh('ip route add 10.9.0.2/32 dev p-eth0');
    await modifyNetwork(s, 'Add', {
      NamespaceID: NAMESPACE,
      ID: nic.id,
      IPConfigs: [{ IPAddress: '10.9.0.2', PrefixLength: 32 }],
      Routes: [
        { NextHop: '192.0.2.1', DestinationPrefix: '0.0.0.0/0' },
        { NextHop: '192.0.2.1', DestinationPrefix: '172.16.0.0/12', Metric: 7 },
        { DestinationPrefix: '10.10.0.0/16' },
      ],
    });
    const pid = await createNetworked(s, 'far', NAMESPACE);
    expect(await routesOf(s, pid)).toEqual([
      '10.10.0.0/16',
      '172.16.0.0/12 via 192.0.2.1 metric 7',
      '192.0.2.1',
      'default via 192.0.2.1',
    ]);
    expect(await addressesOf(s, pid, 'eth0')).toEqual(['10.9.0.2/32']);
    const init = await s.startInit('far');
    const ping = await s.finish('far', await s.sh('far', 'ping -c 1 -w 5 192.0.2.1'));
    expect(ping.exitCode).toBe(0);
    await s.killAndDelete('far', init);
  }));

test('policy routing: what comes from a further adapter goes out through it', () =>
  withVmbus(async (s) => {
    const pid = await createNetworked(s, 'policy', NAMESPACE);
    for (const [index, subnet] of ['10.9.1', '10.9.2', '10.9.3'].entries()) {
      const nic = await plug(s, `eth${index}`);
      await modifyNetwork(s, 'Add', {
        NamespaceID: NAMESPACE,
        ID: nic.id,
        PolicyBasedRouting: true,
        ...fixed(`${subnet}.2`, `${subnet}.1`),
      });
    }
    expect(await routesOf(s, pid, 'default')).toEqual(['default via 10.9.1.1']);
    expect(await routesOf(s, pid, 'table 101')).toEqual(['default via 10.9.2.1 metric 500']);
    const rules = await ip(s, pid, 'rule show');
    expect(rules).toContainEqual(
      expect.objectContaining({ priority: 5, src: '10.9.2.2', table: '101' }),
    );
    for (const number of [2, 3]) {
      const [route] = await ip(s, pid, `route get 198.51.100.1 from 10.9.${number}.2`);
      expect(route).toMatchObject({ gateway: `10.9.${number}.1`, dev: `eth${number - 1}` });
    }
    await s.delete('policy');
  }));

test('the MTU is less what the host needs for its encapsulation', () =>
  withVmbus(async (s) => {
    const pid = await createNetworked(s, 'mtu', NAMESPACE);
    const nic = await plug(s, 'eth0');
    const settings = { NamespaceID: NAMESPACE, ID: nic.id, ...fixed('10.9.0.2') };
    await expect(modifyNetwork(s, 'Add', { ...settings, EncapOverhead: 1450 })).rejects.toThrow(
      'Request.Settings.EncapOverhead',
    );
    expect(await linkNames(s, 'agent')).toContain('eth0');
    await modifyNetwork(s, 'Add', { ...settings, EncapOverhead: 50 });
    const [link] = await ip(s, pid, 'link show dev eth0');
    expect(link.mtu).toBe(1450);
    await s.delete('mtu');
  }));

test('removing an adapter takes it back, and removing what is not there is no error', () =>
  withVmbus(async (s) => {
    const pid = await createNetworked(s, 'less', NAMESPACE);
    const nic = await plug(s, 'eth0');
    const settings = {
      NamespaceID: NAMESPACE,
      ID: nic.id,
      EnableLowMetric: true,
      EncapOverhead: 50,
      DNSServerList: '10.9.0.53',
      ...fixed('10.9.0.2', '10.9.0.1'),
    };
    for (let round = 0; round < 2; round++) {
      await modifyNetwork(s, 'Add', settings);
      await expect(modifyNetwork(s, 'Add', settings)).rejects.toThrow(
        'already present in namespace',
      );
      expect(await resolvConfOf(s, 'less')).toBe('nameserver 10.9.0.53\n');
      for (let again = 0; again < 2; again++) {
        await modifyNetwork(s, 'Remove', { NamespaceID: NAMESPACE, ID: nic.id });
      }
      expect(await linkNames(s, pid)).toEqual(['lo']);
      expect((await ip(s, pid, 'rule show')).map((rule) => rule.priority)).toEqual([
        0, 32766, 32767,
      ]);
      expect(await resolvConfOf(s, 'less')).toBe('');
      const [link] = await ip(s, 'agent', 'link show dev eth0');
      expect(link).toMatchObject({ operstate: 'DOWN', mtu: 1500 });
    }
    await modifyNetwork(s, 'Remove', { NamespaceID: newGuid(), ID: nic.id });
    await s.delete('less');
  }));

test('an adapter that was unplugged can be removed', () =>
  withVmbus(async (s) => {
    await createNetworked(s, 'pulled', NAMESPACE);
    const nic = await plug(s, 'eth0');
    await modifyNetwork(s, 'Add', {
      NamespaceID: NAMESPACE,
      ID: nic.id,
      EnableLowMetric: true,
      ...fixed('10.9.0.2', '10.9.0.1'),
    });
    await unplug(s, nic);
    await modifyNetwork(s, 'Remove', { NamespaceID: NAMESPACE, ID: nic.id });
    await s.delete('pulled');
  }));

test('a name server that the container chose itself is kept', () =>
  withVmbus(async (s) => {
    await createNetworked(s, 'own', NAMESPACE);
    const init = await s.startInit('own');
    await s.finish('own', await s.sh('own', 'echo nameserver 127.0.0.1 > /etc/resolv.conf'));
    const nic = await plug(s, 'eth0');
    const dns = { DNSServerList: '10.9.0.53' };
    await modifyNetwork(s, 'Add', {
      NamespaceID: NAMESPACE,
      ID: nic.id,
      ...dns,
      ...fixed('10.9.0.2'),
    });
    expect(await resolvConfOf(s, 'own')).toBe('nameserver 127.0.0.1\n');
    await s.killAndDelete('own', init);
  }));

test('a container that shares the network of the VM has its adapters configured in place', () =>
  withVmbus(async (s) => {
    const nic = await plug(s, 'eth0');
    await modifyNetwork(s, 'Add', {
      NamespaceID: NAMESPACE,
      ID: nic.id,
      ...fixed('10.9.0.2', '10.9.0.1'),
    });
    await createNetworked(s, 'host', NAMESPACE, {
      annotations: { 'io.microsoft.virtualmachine.lcow.hostnetwork': 'true' },
    });
    expect(await addressesOf(s, 'agent', 'eth0')).toEqual(['10.9.0.2/24']);
    expect(await routesOf(s, 'agent')).toContain('default via 10.9.0.1');
    const init = await s.startInit('host');
    const see = await s.finish('host', await s.exec('host', shellProcess('ip addr show dev eth0')));
    expect(see.stdout).toContain('10.9.0.2/24');
    await s.killAndDelete('host', init);
    expect(await addressesOf(s, 'agent', 'eth0')).toEqual([]);
    const [link] = await ip(s, 'agent', 'link show dev eth0');
    expect(link.operstate).toBe('DOWN');
  }));

test('on a machine without a vmbus an adapter is found by its hardware address', () =>
  withSession(async (s) => {
    const pid = await createNetworked(s, 'mac', NAMESPACE);
    await s.uvmSh('ip link add ens3 address 02:15:5d:00:00:07 type veth peer name p-ens3');
    await modifyNetwork(s, 'Add', {
      NamespaceID: NAMESPACE,
      ID: newGuid(),
      MacAddress: '02-15-5D-00-00-07',
      ...fixed('10.9.0.2'),
    });
    expect(await addressesOf(s, pid, 'ens3')).toEqual(['10.9.0.2/24']);
    await s.delete('mac');
  }));

test('one adapter that cannot be configured: none is, and the container is not created', () =>
  withVmbus(async (s) => {
    const [good, bad] = [await plug(s, 'eth0'), await plug(s, 'eth1')];
    await modifyNetwork(s, 'Add', { NamespaceID: NAMESPACE, ID: good.id, ...fixed('10.9.0.2') });
    await modifyNetwork(s, 'Add', {
      NamespaceID: NAMESPACE,
      ID: bad.id,
      IPConfigs: [{ IPAddress: '10.9.1.2', PrefixLength: 24 }],
      // The same route twice: the kernel refuses the second.
      Routes: Array(2).fill({ NextHop: '10.9.1.1', DestinationPrefix: '10.20.0.0/16', Metric: 3 }),
    });
    await expect(createNetworked(s, 'half', NAMESPACE)).rejects.toEqual(
      failsWith(E_FAIL, 'add route 10.20.0.0/16 via 10.9.1.1'),
    );
    expect(await linkNames(s, 'agent')).toEqual(['eth0', 'eth1', 'lo', 'p-eth0', 'p-eth1']);
    await modifyNetwork(s, 'Remove', { NamespaceID: NAMESPACE, ID: bad.id });
    const pid = await createNetworked(s, 'half', NAMESPACE);
    expect(await linkNames(s, pid)).toEqual(['eth0', 'lo']);
    await s.delete('half');
  }));

test('a namespace id that is no text is refused by name', () =>
  withSession(async (s) => {
    const spec = networkedSpec(7 as unknown as string, { args: 'true' });
    await expect(s.createFrom('odd', spec)).rejects.toThrow(
      'OciSpecification.windows.network.networkNamespace',
    );
  }));

// A link takes some 40 ms to another network namespace and back, all of it the kernel's own waiting:
// every fifth is moved.
test('a thousand adds and removes leave nothing behind and take no more memory', () =>
  withVmbus(async (s) => {
    const pid = await createNetworked(s, 'again', NAMESPACE);
    const atHome = NAMESPACE.replace('1', '2');
    await createNetworked(s, 'home', atHome, {
      annotations: { 'io.microsoft.virtualmachine.lcow.hostnetwork': 'true' },
    });
    const nic = await plug(s, 'eth0');
    const cycle = async (NamespaceID: string): Promise<void> => {
      const settings = {
        NamespaceID,
        ID: nic.id,
        EnableLowMetric: true,
        DNSServerList: '10.9.0.53',
        ...fixed('10.9.0.2', '192.0.2.1'),
      };
      await modifyNetwork(s, 'Add', settings);
      await modifyNetwork(s, 'Remove', settings);
    };
    const cycles = async (count: number): Promise<number> => {
      for (let round = 0; round < count; round++) {
        await cycle(round % 5 === 0 ? NAMESPACE : atHome);
      }
      return await anonymousMemory(s);
    };
    const before = await cycles(200);
    // V8 takes its heap in steps of some 20 MiB and then no more; what a cycle kept would be there 800 times.
    expect((await cycles(800)) - before).toBeLessThan(32 * 1024);
    expect(await linkNames(s, pid)).toEqual(['lo']);
    expect(await linkNames(s, 'agent')).toEqual(['eth0', 'lo', 'p-eth0']);
    expect(await addressesOf(s, 'agent', 'eth0')).toEqual([]);
    expect(await ip(s, 'agent', 'route show table 101')).toEqual([]);
    await s.delete('again');
    await s.delete('home');
  }));

test('hostile settings are refused by the name of their field, and nothing is made', () =>
  withVmbus(async (s) => {
    const nic = await plug(s, 'eth0');
    const add = (settings: object) =>
      modifyNetwork(s, 'Add', {
        NamespaceID: NAMESPACE,
        ID: nic.id,
        ...fixed('10.9.0.2'),
        ...settings,
      });
    const INVALID_ARGUMENT = 0x80070057;
    await expect(add({ ID: '../../../../etc' })).rejects.toEqual(
      failsWith(INVALID_ARGUMENT, 'Request.Settings.ID'),
    );
    await expect(add({ NamespaceID: '' })).rejects.toEqual(
      failsWith(INVALID_ARGUMENT, 'Request.Settings.NamespaceID'),
    );
    await expect(add({ DNSSuffix: 'a\nnameserver 6.6.6.6' })).rejects.toEqual(
      failsWith(INVALID_ARGUMENT, 'Request.Settings.DNSSuffix'),
    );
    await expect(
      add({ IPConfigs: [{ IPAddress: '10.0.0.1', PrefixLength: 300 }] }),
    ).rejects.toThrow('Request.Settings.IPConfigs[0].PrefixLength');
    await expect(add({ Routes: Array(5000).fill({ DestinationPrefix: '::/0' }) })).rejects.toEqual(
      failsWith(INVALID_ARGUMENT, 'Request.Settings.Routes'),
    );
    const sandbox = { annotations: { 'io.kubernetes.cri.container-type': 'sandbox' } };
    await expect(createNetworked(s, 'none', NAMESPACE, sandbox)).rejects.toThrow('not found');
  }));
