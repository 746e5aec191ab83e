import { describe, expect, test } from 'vitest';
import { RAW, rawFrame } from '../../test/support/raw-client.ts';
import { FakeProcesses, FakeUvm } from './testing/fake-uvm.ts';
import { BridgeSession, body, forever, hresult, negotiate, settled } from './testing/session.ts';

describe('negotiation', () => {
  test.each([
    [4, 4],
    [0, 4],
    [4, 9],
  ])('%i to %i is version 4', async (min, max) => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.connection();
    const reply = await host.call(RAW.negotiate, {
      ContainerId: '',
      MinimumVersion: min,
      MaximumVersion: max,
    });
    expect(reply.body).toMatchObject({ Version: 4, Capabilities: { RuntimeOsType: 'Linux' } });
    expect(reply.type).toBe(0x20100b01);
  });

  test.each([
    [5, 9],
    [0, 3],
    [0, 0],
  ])('%i to %i has no version in common, and the host may try again', async (min, max) => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.connection();
    const reply = await host.request(RAW.negotiate, { MinimumVersion: min, MaximumVersion: max });
    expect(hresult(reply)).toBe('0xc037010c');
    await negotiate(host);
    await settled(host);
  });

  test('anything before it is not supported', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.connection();
    const reply = await host.request(RAW.create, body('c'));
    expect(hresult(reply)).toBe('0x80004001');
    expect(reply.type).toBe(0x20100101);
    await negotiate(host);
  });

  test('a second one is not supported', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.host();
    const reply = await host.request(RAW.negotiate, { MinimumVersion: 4, MaximumVersion: 4 });
    expect(hresult(reply)).toBe('0x80004001');
    await settled(host);
  });

  test('requests may follow it in the same packet', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.connection();
    const replies = [host.expectReply(RAW.negotiate, 0n), host.expectReply(RAW.start, 1n)];
    const first = rawFrame(RAW.negotiate, 0, '{"MinimumVersion":4,"MaximumVersion":4}\n');
    host.sendBytes(Buffer.concat([first, rawFrame(RAW.start, 1, '{}\n')]));
    const [negotiated, started] = await Promise.all(replies);
    expect(negotiated?.body.Result).toBe(0);
    expect(started?.body.Result).toBe(0);
  });
});

describe('the VM', () => {
  test('is opened once, by the first who needs it, and negotiating does not', async () => {
    const uvm = new FakeUvm();
    const opened = Promise.withResolvers<void>();
    let times = 0;
    uvm.opening = () => {
      times += 1;
      return opened.promise;
    };
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const requests = ['a', 'b', 'c'].map((id) => host.request(RAW.deleteContainerState, body(id)));
    await new Promise((next) => setImmediate(next));
    expect(uvm.calls).toEqual([]);
    opened.resolve();
    for (const reply of await Promise.all(requests)) expect(hresult(reply)).toBe('0x0');
    expect(uvm.calls).toEqual(['a', 'b', 'c'].map((id) => ['deleteContainer', id]));
    expect(times).toBe(1);
  });

  test('that cannot be opened fails the request, and the next one tries again', async () => {
    const uvm = new FakeUvm();
    uvm.opening = async () => {
      throw new Error('no room');
    };
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const activity = { ActivityId: '12345678-1234-1234-1234-123456789abc' };
    const request = body('a', activity);
    const failed = await host.request(RAW.deleteContainerState, request);
    expect(failed.body).toMatchObject({ ErrorMessage: 'no room', ...activity });
    expect(session.log).toContainEqual(
      expect.objectContaining({ level: 'error', error: expect.stringContaining('no room') }),
    );
    uvm.opening = async () => {};
    expect(hresult(await host.request(RAW.deleteContainerState, request))).toBe('0x0');
    expect(uvm.calls).toEqual([['deleteContainer', 'a']]);
  });
});

describe('messages', () => {
  test.each([
    [0x1010ff01, 0x2010ff01],
    [0x00000000, 0x20000000],
    [0x10100102, 0x20100102],
    [0x10100e01, 0x20100e01],
    [0x20100101, 0x20100101],
    [0x30100101, 0x20100101],
  ])('type 0x%s is unknown: not supported', async (type, reply) => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.host();
    const answer = await host.request(type, body('c'));
    expect(answer.type).toBe(reply);
    expect(hresult(answer)).toBe('0x80004001');
    expect(answer.body.ActivityId).toBe('00000000-0000-0000-0000-000000000000');
  });

  test.each([
    ['', 'unexpected end of JSON input'],
    ['{}x', 'JSON'],
    ['{"ContainerId":"c"} {}', 'JSON'],
    ['[]', 'expected object, found array'],
    ['{"ContainerId":5}', 'ContainerId: expected string, found number'],
    ['{"ProcessId":-1}', 'ProcessId: expected u32, found -1'],
    ['{"ProcessId":4294967296}', 'ProcessId: expected u32, found 4294967296'],
    ['{"ProcessId":1.5}', 'ProcessId: expected u32, found 1.5'],
  ])('payload %j is 0xc037010d', async (payload, text) => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.host();
    const reply = await host.request(RAW.waitForProcess, payload);
    expect(hresult(reply)).toBe('0xc037010d');
    expect(reply.body.ErrorMessage).toContain(text);
    expect(reply.body.ErrorMessage).toMatch(/^failed to unmarshal JSON in message "/);
    await settled(host);
  });

  test('invalid UTF-8 in a string is replaced', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const payload = Buffer.from('7b22436f6e7461696e65724964223a22ff227d', 'hex');
    const reply = await host.request(RAW.deleteContainerState, payload);
    expect(reply.body.Result).toBe(0);
    expect(uvm.calls).toEqual([['deleteContainer', '\ufffd']]);
  });

  test('names in another case, white space around, null and unknown fields are accepted', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const payload = ' \n{"containerid":"c","PROCESSID":7,"Options":null,"New":{"a":[1]}}\r\n\t ';
    expect((await host.request(RAW.signalProcess, payload)).body.Result).toBe(0);
    expect(uvm.calls).toEqual([['signal', 'c', 7, 9]]);
  });

  test('ids are 64 bits, zero is one of them', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.connection();
    const id = 2n ** 64n - 1n;
    const negotiated = { ContainerId: '', MinimumVersion: 4, MaximumVersion: 4 };
    expect((await host.request(RAW.negotiate, negotiated, { id: 0n })).id).toBe(0n);
    expect((await host.request(RAW.start, body('c'), { id })).id).toBe(id);
    expect((await host.request(RAW.start, body('c'), { id: 0n })).id).toBe(0n);
  });

  test('a request is answered while others are pending', async () => {
    const processes = new FakeProcesses();
    await using session = new BridgeSession(new FakeUvm({ wait: processes.wait }));
    const host = await session.host();
    const wait = host.call(RAW.waitForProcess, body('c', { ProcessId: 1, ...forever }));
    await settled(host);
    expect(host.pending).toBe(1);
    processes.end(1, 42);
    expect((await wait).body.ExitCode).toBe(42);
  });

  test('a fault in a handler is an error reply, and its place is in the log', async () => {
    const uvm = new FakeUvm({
      describe: () => {
        throw new TypeError('nobody thought of this');
      },
    });
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const reply = await host.request(RAW.dumpStacks, body('c'));
    expect(hresult(reply)).toBe('0x80004005');
    expect(session.log.find(({ msg }) => msg === 'request failed')?.stack).toContain(
      'server.test.ts',
    );
    await settled(host);
  });

  test('a request with a long spec is answered', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const reply = await host.request(RAW.deleteContainerState, body('x'.repeat(1024 * 1024)));
    expect(reply.body.Result).toBe(0);
  });
});

describe('logs', () => {
  const traceID = '4bf92f3577b34da6a3ce929d0e0e4736';
  const spanID = '00f067aa0ba902b7';
  const otsc = { traceparent: `00-${traceID}-${spanID}-01`, tracestate: '' };

  test('every entry of a request carries its trace context, its name and its id', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    await host.call(RAW.deleteContainerState, body('c', { otsc }));
    const entries = session.log.filter(({ request }) => request === 'DeleteContainerState');
    expect(entries.map(({ msg }) => msg)).toEqual(['request', 'request body', 'request done']);
    for (const entry of entries) {
      expect(entry).toMatchObject({ traceID, spanID, containerId: 'c', requestId: 1 });
    }
  });

  test('hold neither the environment nor other secrets of a request', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.host();
    const secret = 'hunter2';
    const exec = (OciProcess: object): object =>
      body('c', {
        Settings: { ProcessParameters: JSON.stringify({ OciProcess, Environment: { A: secret } }) },
      });
    await host.request(
      RAW.executeProcess,
      exec({ args: ['x', `--password=${secret}`, '--token', secret], env: [`A=${secret}`] }),
    );
    await host.request(RAW.executeProcess, exec({ args: [1], env: [`A=${secret}`] }));
    const log = JSON.stringify(session.log);
    expect(log).not.toContain(secret);
    expect(log).toContain('A=<scrubbed>');
    expect(log).toContain('OciProcess.args[0]: expected string, found number');
  });
});
