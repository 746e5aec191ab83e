import { expect, onTestFinished, test, vi } from 'vitest';
import { PrivateNetwork } from '../../test/support/private-network.ts';
import { RouteSocket } from '../os/netlink.ts';
import { parseAddress, prefixOf } from './address.ts';
import { findLink } from './rtnetlink.ts';
import type { AdapterConfig, RouteConfig } from './settings.ts';
import {
  addressSteps,
  applyStep,
  freePolicyTable,
  type Ground,
  linkSteps,
  runSteps,
  type Step,
  undoSteps,
} from './steps.ts';

// Namespaces and their programs are slow to make on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const address = (text: string) => {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};

const route = (destination: string | undefined, gateway: string | undefined): RouteConfig => {
  const [text = '', length] = (destination ?? '').split('/');
  const prefix = destination === undefined ? undefined : prefixOf(address(text), Number(length));
  const hop = gateway === undefined ? undefined : address(gateway);
  const family = (hop ?? prefix?.address)?.family ?? 4;
  return { destination: prefix, family, gateway: hop, metric: 3, lowMetric: 500 };
};

const config: AdapterConfig = {
  id: 'x',
  mac: undefined,
  addresses: [
    { address: address('10.0.0.2'), prefixLength: 24 },
    { address: address('10.0.1.2'), prefixLength: 32 },
    { address: address('fd00::2'), prefixLength: 64 },
  ],
  routes: [
    route(undefined, '10.0.0.1'),
    route('172.16.0.0/12', '192.0.2.1'),
    route('172.32.0.0/16', '192.0.2.1'),
    route('198.51.100.0/24', undefined),
    route(undefined, 'fe80::1'),
    route('fd01::/64', 'fd99::1'),
    route('fd02::/64', undefined),
  ],
  searches: [],
  servers: [],
  encapOverhead: 50,
  policyBasedRouting: false,
  lowMetric: false,
  vpciAssigned: false,
};

interface Lab {
  home: PrivateNetwork;
  inside: PrivateNetwork;
  ground: Ground;
  steps: (lowMetric: boolean) => Step[];
}

/** A veth end "eth0" in one namespace, to be moved into another. */
async function lab(): Promise<Lab> {
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  const home = stack.use(await PrivateNetwork.make());
  const inside = stack.use(await PrivateNetwork.make());
  home.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'peer');
  const [homeSocket, socket] = [new RouteSocket(home.namespace), new RouteSocket(inside.namespace)];
  stack.use(homeSocket);
  stack.use(socket);
  const link = findLink(homeSocket, 'eth0');
  if (link === undefined) throw new Error('no eth0');
  return {
    home,
    inside,
    ground: {
      socket,
      namespace: inside.namespace,
      home: homeSocket,
      homeNamespace: home.namespace,
      index: link.index,
    },
    steps: (lowMetric) => [
      ...linkSteps(config, link, 'eth0'),
      ...addressSteps(config, lowMetric ? 101 : undefined),
    ],
  };
}

test('a gateway that is no neighbour gets one route, before the routes that need it', () => {
  const kinds = addressSteps(config).flatMap((step) =>
    step.kind === 'route' ? [step.route.gateway === undefined ? 'link' : 'via'] : [],
  );
  expect(kinds).toEqual(['via', 'link', 'via', 'via', 'link', 'via', 'link', 'via', 'link']);
});

test.each([
  false,
  true,
])('a fault at any step leaves both namespaces as they were (low metric: %s)', async (lowMetric) => {
  const { home, inside, ground, steps } = await lab();
  const list = steps(lowMetric);
  const before = [home.snapshot(), inside.snapshot()];
  for (const [faulty, step] of list.entries()) {
    let taken = 0;
    const perform = (each: Step, where: Ground): void => {
      if (taken++ === faulty) throw new Error(`fault at ${step.kind}`);
      applyStep(each, where);
    };
    expect(() => runSteps(list, ground, perform)).toThrow(`fault at ${step.kind}`);
    expect([home.snapshot(), inside.snapshot()], `step ${faulty}: ${step.kind}`).toEqual(before);
  }
  expect(list.length).toBeGreaterThan(14);
});

test('all steps together can be taken, undone, and taken again, a hundred times', async () => {
  const { home, inside, ground, steps } = await lab();
  const before = [home.snapshot(), inside.snapshot()];
  for (let round = 0; round < 100; round++) {
    const list = steps(round % 2 === 1);
    runSteps(list, ground);
    if (round === 1) {
      expect(inside.ip('rule', 'show')).toContain('from 10.0.0.2 lookup 101');
      expect(inside.ip('-6', 'rule', 'show')).toContain('from fd00::2 lookup 101');
      expect(inside.ip('route', 'show', 'table', '101')).toContain(
        'default via 10.0.0.1 dev eth0 proto static metric 500',
      );
    }
    expect(undoSteps(list, ground)).toEqual([]);
  }
  expect([home.snapshot(), inside.snapshot()]).toEqual(before);
});

test('what the kernel took away itself is no failure of the undo', async () => {
  const { inside, ground, steps } = await lab();
  const list = steps(true);
  runSteps(list, ground);
  inside.ip('link', 'del', 'eth0');
  expect(undoSteps(list, ground)).toEqual([]);
  expect(inside.ip('rule', 'show')).not.toContain('101');
});

test('the error of a step that is refused names it, with the words of the kernel', async () => {
  const { ground, home } = await lab();
  const step: Step = { kind: 'mtu', mtu: 20, before: 1500 };
  const before = home.snapshot();
  expect(() => runSteps([step], { ...ground, socket: ground.home })).toThrow(
    /^set mtu 20 of link \d+ \(mtu less than device minimum\): EINVAL$/,
  );
  expect(home.snapshot()).toEqual(before);
});

test('a link that only has the number of ours is not taken for it', async () => {
  const { home, inside, ground, steps } = await lab();
  const list = steps(false);
  runSteps(list, ground);
  inside.ip('link', 'del', 'eth0');
  inside.ip('link', 'add', 'eth0', 'index', `${ground.index}`, 'type', 'bridge');
  expect(undoSteps(list, ground)).toEqual([]);
  expect(inside.ip('-o', 'link', 'show')).toContain('eth0');
  expect(home.ip('-o', 'link', 'show')).not.toContain('eth0');
});

test('each adapter that is not the preferred one has a table of its own', async () => {
  const { ground, inside } = await lab();
  expect(freePolicyTable(ground.socket)).toBe(101);
  inside.ip('rule', 'add', 'from', '10.0.0.2', 'table', '101', 'priority', '5');
  inside.ip('-6', 'rule', 'add', 'from', 'fd00::2', 'table', '102', 'priority', '5');
  inside.ip('rule', 'add', 'from', '10.0.0.3', 'table', '103', 'priority', '6');
  expect(freePolicyTable(ground.socket)).toBe(103);
});
