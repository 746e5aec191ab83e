import { expect, onTestFinished, test, vi } from 'vitest';
import { DhcpServer, type ServerPlan } from '../../../test/support/dhcp-server.ts';
import { PrivateNetwork } from '../../../test/support/private-network.ts';
import { silentLogger } from '../../log/logger.ts';
import { RouteSocket } from '../../os/netlink.ts';
import { formatAddress } from '../address.ts';
import { findLink } from '../rtnetlink.ts';
import { DhcpExchange, type DhcpLink } from './client.ts';
import { LeaseKeeper } from './keeper.ts';
import type { Lease } from './lease.ts';

// Namespaces and their programs are slow to make on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const DISCOVER = 1;
const REQUEST = 3;
const RELEASE = 7;

/** A client's link and a server's, joined. */
async function lab(): Promise<{ link: DhcpLink; network: PrivateNetwork }> {
  const network = await PrivateNetwork.make();
  onTestFinished(() => network[Symbol.asyncDispose]());
  network.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'srv0');
  network.ip('link', 'set', 'eth0', 'up');
  network.ip('link', 'set', 'srv0', 'up');
  network.ip('addr', 'add', '10.0.0.1/24', 'dev', 'srv0');
  network.ip('route', 'add', '255.255.255.255', 'dev', 'srv0');
  using socket = new RouteSocket(network.namespace);
  const found = findLink(socket, 'eth0');
  if (found === undefined) throw new Error('no eth0');
  return { network, link: { namespace: network.namespace, index: found.index, mac: found.mac } };
}

async function serve(network: PrivateNetwork, plan: Partial<ServerPlan>): Promise<DhcpServer> {
  const whole = {
    answers: [],
    address: '10.0.0.20',
    server: '10.0.0.1',
    leaseSeconds: 3600,
    t1: 1800,
    t2: 3000,
  };
  const server = await DhcpServer.start(network.pid, { ...whole, ...plan });
  onTestFinished(() => server[Symbol.dispose]());
  return server;
}

const granting: Partial<ServerPlan> = { discover: ['offer'], request: ['ack'] };
const never = new AbortController().signal;
const addressOf = (lease: Lease | undefined) => lease && formatAddress(lease.address.address);

test('a message nobody answers is sent again, and a refusal begins anew', async () => {
  const { link, network } = await lab();
  const server = await serve(network, {
    discover: ['silent', 'offer'],
    request: ['nak', 'ack'],
  });
  using exchange = new DhcpExchange(link);
  const lease = await exchange.acquire(never);
  expect(addressOf(lease)).toBe('10.0.0.20');
  const request = { type: REQUEST, client: '0.0.0.0', requested: '10.0.0.20', server: '10.0.0.1' };
  const discover = { type: DISCOVER, client: '0.0.0.0' };
  const seen = await server.until('ack');
  // However often each was sent.
  const kinds = seen.filter((each, index) => each.type !== seen[index - 1]?.type);
  expect(kinds).toMatchObject([discover, request, discover, request]);
});

test('an offer is not taken for an acknowledgement, nor the other way round', async () => {
  const { link, network } = await lab();
  await serve(network, { discover: ['ack', 'offer'], request: ['offer', 'ack'] });
  using exchange = new DhcpExchange(link);
  expect(addressOf(await exchange.acquire(never))).toBe('10.0.0.20');
});

test('a search for a server ends with its signal', async () => {
  const { link } = await lab();
  using exchange = new DhcpExchange(link);
  const end = new AbortController();
  const search = exchange.acquire(end.signal);
  end.abort(new Error('enough'));
  await expect(search).rejects.toThrow('enough');
  await expect(exchange.acquire(end.signal)).rejects.toThrow('enough');
});

interface Kept {
  keeper: LeaseKeeper;
  server: DhcpServer;
  /** Resolves with the next use of a lease, or of none. */
  used: () => Promise<string | undefined>;
}

async function keep(plan: Partial<ServerPlan>): Promise<Kept> {
  const { link, network } = await lab();
  const server = await serve(network, plan);
  const uses: (string | undefined)[] = [];
  let wake = (): void => {};
  const use = (lease: Lease | undefined): void => {
    uses.push(addressOf(lease));
    wake();
  };
  const keeper = await LeaseKeeper.start(link, use, silentLogger, never);
  onTestFinished(() => keeper.stop());
  return {
    keeper,
    server,
    used: async () => {
      if (uses.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return uses.shift();
    },
  };
}

test('a lease is renewed by its server, with its address and without naming either', async () => {
  const { server, used, keeper } = await keep({
    ...granting,
    renewal: ['ack'],
    t1: 1,
    t2: 3000,
  });
  expect(await used()).toBe('10.0.0.20');
  expect(await used()).toBe('10.0.0.20');
  keeper.stop();
  const renewal = await server.nextFrom('10.0.0.20');
  expect(renewal).toEqual({ type: REQUEST, client: '10.0.0.20', answer: 'ack' });
});

test('a refused renewal gives the address up and asks for another', async () => {
  const { used } = await keep({
    ...granting,
    renewal: ['nak'],
    t1: 1,
    t2: 3000,
  });
  expect(await used()).toBe('10.0.0.20');
  expect(await used()).toBeUndefined();
  expect(await used()).toBe('10.0.0.20');
});

test('a lease that nobody renews is given up when it ends', async () => {
  const { used } = await keep({ ...granting, leaseSeconds: 3, t1: 1, t2: 2 });
  expect(await used()).toBe('10.0.0.20');
  expect(await used()).toBeUndefined();
  expect(await used()).toBe('10.0.0.20');
});

test('an address that is not needed any more is given back', async () => {
  const { keeper, server } = await keep(granting);
  keeper.stop();
  keeper.release();
  const release = await server.nextFrom('10.0.0.20');
  expect(release).toMatchObject({ type: RELEASE, server: '10.0.0.1' });
});

test('a link that is down for a while costs messages, not the search', async () => {
  const { link, network } = await lab();
  await serve(network, granting);
  using exchange = new DhcpExchange(link);
  network.ip('link', 'set', 'eth0', 'down');
  const search = exchange.acquire(never);
  network.ip('link', 'set', 'eth0', 'up');
  expect(addressOf(await search)).toBe('10.0.0.20');
});
