/** What brings the agent that hosts know to its end, or its host's bridge: one test each. */
import { expect, test } from 'vitest';
import { NULL_CONTAINER, RAW, type RawMessage, rawFrame } from '../../test/support/raw-client.ts';
import { AgentError } from '../errors.ts';
import { FakeUvm } from './testing/fake-uvm.ts';
import { BridgeSession, body, hresult } from './testing/session.ts';

/** Sends one request; fails unless the agent serves the same connection afterwards. */
async function survive(
  type: number,
  request: object | string,
  uvm = new FakeUvm(),
): Promise<{ reply: RawMessage; uvm: FakeUvm; log: BridgeSession['log'] }> {
  await using session = new BridgeSession(uvm);
  const host = await session.host();
  const reply = await host.request(type, request);
  await host.call(RAW.start, body('c'));
  expect(host.failure).toBeUndefined();
  expect(session.transport.dials).toHaveLength(1);
  return { reply, uvm, log: session.log };
}

const version = { Major: 2, Minor: 1 };

test.each([
  [{ SchemaVersion: version, OciBundlePath: '/b' }, 'ContainerConfig.OciSpecification: missing'],
  [
    { SchemaVersion: version, OciBundlePath: '/b', OciSpecification: null },
    'ContainerConfig.OciSpecification: missing',
  ],
  [
    { SchemaVersion: version, OciBundlePath: '/b', OciSpecification: { process: {} } },
    'ContainerConfig.OciSpecification.linux: missing',
  ],
  [
    { SchemaVersion: version, OciBundlePath: '/b', OciSpecification: { linux: {} } },
    'ContainerConfig.OciSpecification.process: missing',
  ],
  [
    { SchemaVersion: version, OciSpecification: { linux: {}, process: {} } },
    'ContainerConfig.OciBundlePath: missing',
  ],
])('Create without OciSpecification, linux, process or bundle: %j', async (config, text) => {
  const { reply, uvm } = await survive(
    RAW.create,
    body('c', { ContainerConfig: JSON.stringify(config) }),
  );
  expect(hresult(reply)).toBe('0xc037010d');
  expect(reply.body.ErrorMessage).toContain(text);
  expect(uvm.calls).toEqual([]);
});

test.each([
  {},
  { CommandArgs: [] },
  { CommandArgs: [''] },
  { CommandLine: ' ' },
  { CommandLine: "''" },
])('ExecuteProcess in the UVM with no command: %j', async (parameters) => {
  const { reply, uvm } = await survive(
    RAW.executeProcess,
    body(NULL_CONTAINER, { Settings: { ProcessParameters: JSON.stringify(parameters) } }),
  );
  expect(hresult(reply)).toBe('0x80070057');
  expect(reply.body.ErrorMessage).toContain('there is no command');
  expect(uvm.calls).toEqual([]);
});

test.each([
  undefined,
  null,
  {},
  { ProcessParameters: '' },
  { ProcessParameters: 'null' },
])('ExecuteProcess with settings %j', async (Settings) => {
  const { reply } = await survive(RAW.executeProcess, body(NULL_CONTAINER, { Settings }));
  expect(reply.body.Result).not.toBe(0);
});

test.each([0, 15])('header size %i', async (size) => {
  await using session = new BridgeSession(new FakeUvm());
  const first = await session.host();
  first.sendBytes(rawFrame(0, 0, '', size));
  await first.closed;
  await (await session.host()).call(RAW.start, body('c'));
});

test('header size 0x7fffffff', async () => {
  await using session = new BridgeSession(new FakeUvm());
  const first = await session.host();
  first.sendBytes(rawFrame(0, 0, '', 0x7fffffff));
  await first.closed;
  await (await session.host()).call(RAW.start, body('c'));
});

test('the host closes the bridge, again and again', async () => {
  await using session = new BridgeSession(new FakeUvm());
  for (let i = 0; i < 20; i++) {
    const host = await session.host();
    host.request(RAW.start, body('c')).catch(() => {});
    host.close();
  }
  await (await session.host()).call(RAW.start, body('c'));
});

test('DumpStacks with very many containers fits a reply and says that it is cut', async () => {
  const sections = Array.from(
    { length: 1000 },
    (_, i) => `container "${i}"\n${'\t<stream>\n'.repeat(30)}`,
  );
  const { reply } = await survive(
    RAW.dumpStacks,
    body(NULL_CONTAINER),
    new FakeUvm({ describe: () => sections }),
  );
  const text = String(reply.body.GuestStacks);
  expect(text).toContain('container "0"');
  expect(text).toMatch(/\[cut, \d+ bytes in all\]… $/);
  expect(Buffer.byteLength(reply.text)).toBeGreaterThan(60_000);
});

test('an error reply to a big request', async () => {
  const { reply } = await survive(
    RAW.modifySettings,
    body(NULL_CONTAINER, { Request: { ResourceType: '<x>', Settings: '"'.repeat(40_000) } }),
  );
  const text = String(reply.body.ErrorMessage);
  expect(text).toMatch(/^failed to unmarshal JSON in message "/);
  expect(text).toMatch(/bytes in all\]": invalid ResourceType '<x>'$/);
});

test('an error text of a megabyte', async () => {
  const message = `runc failed: ${'<'.repeat(1_000_000)}: no such file`;
  const { reply } = await survive(
    RAW.deleteContainerState,
    body('c'),
    new FakeUvm({ deleteContainer: () => Promise.reject(new AgentError('failed', message)) }),
  );
  expect(reply.body.ErrorMessage).toMatch(/^runc failed: <+.*bytes in all\].*: no such file$/);
});

test('a ProcessList of very many processes is cut to what a reply holds, and the log says so', async () => {
  const pids = Array.from({ length: 10_000 }, (_, pid) => ({ pid: pid + 1 }));
  const { reply, log } = await survive(
    RAW.getProperties,
    body('c', { Query: '{"PropertyTypes":["ProcessList","Statistics"]}' }),
    new FakeUvm({ processes: async () => pids }),
  );
  const list = JSON.parse(String(reply.body.Properties)).ProcessList as { ProcessId: number }[];
  expect(list.map(({ ProcessId }) => ProcessId)).toEqual(
    pids.slice(0, list.length).map(({ pid }) => pid),
  );
  expect(Buffer.byteLength(reply.text)).toBeGreaterThan(64_000);
  expect(log.find(({ msg }) => msg.startsWith('process list cut'))).toMatchObject({
    level: 'warning',
    processes: 10_000,
    sent: list.length,
  });
});

test('statistics that do not fit a reply are a typed error, not the end of the bridge', async () => {
  const hugetlb = Array.from({ length: 3000 }, (_, i) => ({
    usage: 1n,
    max: 1n,
    failcnt: 1n,
    pagesize: `${i}MB`,
  }));
  const uvm = new FakeUvm();
  const empty = await uvm.operations.statistics('c');
  const { reply } = await survive(
    RAW.getProperties,
    body('c', { Query: '{"PropertyTypes":["Statistics"]}' }),
    new FakeUvm({ statistics: async () => ({ ...empty, hugetlb }) }),
  );
  expect(reply.body.ErrorMessage).toContain('would exceed 65536 bytes');
});

test.each([200, -3, 65])('Signal number %i is refused', async (Signal) => {
  const { reply, uvm } = await survive(
    RAW.signalProcess,
    body('c', { ProcessId: 1, Options: { Signal } }),
  );
  expect(hresult(reply)).toBe('0x80070057');
  expect(reply.body.ErrorMessage).toContain('Options.Signal');
  expect(uvm.calls).toEqual([]);
});

test('UVM processes can be signalled and resized', async () => {
  const { reply, uvm } = await survive(
    RAW.signalProcess,
    body(NULL_CONTAINER, { ProcessId: 5, Options: { Signal: 15 } }),
  );
  expect(reply.body.Result).toBe(0);
  const resized = await survive(
    RAW.resizeConsole,
    body(NULL_CONTAINER, { ProcessId: 5, Height: 2, Width: 3 }),
    uvm,
  );
  expect(resized.reply.body.Result).toBe(0);
  expect(uvm.calls).toEqual([
    ['signal', null, 5, 15],
    ['resize', null, 5, { height: 2, width: 3 }],
  ]);
});

test('an ActivityId that is no GUID does not come back to a host it would end', async () => {
  for (const ActivityId of ['not a guid', '', '0'.repeat(36)]) {
    const { reply } = await survive(RAW.start, { ContainerId: 'c', ActivityId });
    expect(reply.body).toEqual({ Result: 0 });
  }
});

test('JSON nested deeper than any message is an error reply', async () => {
  const deep = `{"ContainerId":"c","x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  const { reply } = await survive(RAW.start, deep);
  expect(hresult(reply)).toBe('0xc037010d');
});
