import { describe, expect, it } from 'vitest';
import { FakeGuest, negotiated } from '../../test/support/fake-guest.ts';
import { MessageType } from '../bridge/message-types.ts';
import type { BridgeError } from './errors.ts';
import { GuestClient } from './guest.ts';

const CREATE_REPLY = 0x20100101;
const START_REPLY = 0x20100201;

async function connect(options: { strict?: boolean; takesOver?: boolean } = {}) {
  const guest = new FakeGuest();
  const client = await GuestClient.over(guest.hostStream, options);
  return { guest, client };
}

const start = (client: GuestClient) => client.rpc('Start', { ContainerId: 'a' });

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  );
}

describe('a request', () => {
  it('counts ids from zero, negotiation included, and carries the zero activity', async () => {
    const { guest, client } = await connect();
    guest.on(MessageType.Start, () => ({}));
    await start(client);
    await start(client);
    expect(guest.requests.map((request) => request.id)).toEqual([1n, 2n]);
    expect(guest.requests[0]?.body).toEqual({
      ContainerId: 'a',
      ActivityId: '00000000-0000-0000-0000-000000000000',
    });
  });

  it('is matched with its reply by id, whatever the order', async () => {
    const { guest, client } = await connect();
    const waits = [10, 20, 30].map((pid) =>
      client.rpc('WaitForProcess', { ContainerId: 'a', ProcessId: pid, TimeoutInMs: 1 }),
    );
    await guest.request(MessageType.WaitForProcess);
    while (guest.requests.length < 3) await new Promise(setImmediate);
    for (const request of guest.requests.toReversed()) {
      guest.reply(request, { ExitCode: request.body.ProcessId });
    }
    const replies = await Promise.all(waits);
    expect(replies.map((reply) => reply.ExitCode)).toEqual([10, 20, 30]);
  });

  it('keeps 64-bit integers exact in both directions', async () => {
    const { guest, client } = await connect();
    const big = 18446744073709551615n;
    guest.on(MessageType.GetProperties, (request) => {
      guest.sendRaw(
        0x20100901,
        request.id,
        Buffer.from(`{"Result":0,"Properties":"{\\"LCOWMetrics\\":{\\"x\\":${big}}}"}`),
      );
      return undefined;
    });
    const reply = await client.container('a').stats();
    expect(reply.x).toBe(big);
    let sent = '';
    guest.stream.on('data', (chunk: Buffer) => {
      sent += chunk.toString('latin1');
    });
    guest.on(MessageType.ModifySettings, () => ({}));
    await client.container('a').update({ pids: { limit: big } });
    expect(sent).toContain(`"limit":${big}`);
  });

  it('that is refused rejects with the unsigned HRESULT, its name, the text and the records', async () => {
    const { guest, client } = await connect();
    const record = {
      Result: -1070137074,
      Message: 'no such container',
      ModuleName: 'gcs',
      FileName: '',
      Line: 4294967295,
    };
    guest.on(MessageType.Start, () => ({
      Result: -1070137074,
      ErrorMessage: 'no such container',
      ErrorRecords: [record],
    }));
    const error = await failureOf(start(client));
    expect(error).toMatchObject({
      name: 'GuestError',
      hresult: 0xc037010e,
      hresultName: 'HCS_E_SYSTEM_NOT_FOUND',
      request: 'Start',
      message: 'no such container',
      records: [{ result: 0xc037010e, message: 'no such container', line: 0xffffffff }],
    });
    expect(client.failure).toBeUndefined();
  });

  it('longer than the guest takes is refused here, and the bridge lives', async () => {
    const { guest, client } = await connect();
    guest.on(MessageType.Start, () => ({}));
    const long = client.rpc('Start', { ContainerId: 'x'.repeat(17 * 1024 * 1024) });
    await expect(long).rejects.toMatchObject({ name: 'BridgeError', code: 'invalid-request' });
    await start(client);
  });
});

describe('cancelling', () => {
  it('ends the wait with the reason, and the late reply is dropped without harm', async () => {
    const { guest, client } = await connect();
    const abort = new AbortController();
    const reason = new Error('enough');
    const waiting = client.rpc('Start', { ContainerId: 'a' }, { signal: abort.signal });
    const request = await guest.request(MessageType.Start);
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    guest.reply(request, {});
    guest.on(MessageType.Start, () => ({}));
    await start(client);
    expect(client.failure).toBeUndefined();
  });

  it('before the request is sent sends nothing', async () => {
    const { guest, client } = await connect();
    const signal = AbortSignal.abort(new Error('never mind'));
    await expect(client.rpc('Start', { ContainerId: 'a' }, { signal })).rejects.toThrow(
      'never mind',
    );
    expect(guest.requests).toEqual([]);
  });

  it('by a time limit rejects with BridgeError timeout, and the bridge lives', async () => {
    const { guest, client } = await connect();
    const waiting = client.rpc('Start', { ContainerId: 'a' }, { timeoutMs: 5 });
    await expect(waiting).rejects.toMatchObject({ name: 'BridgeError', code: 'timeout' });
    guest.reply(await guest.request(MessageType.Start), {});
    guest.on(MessageType.Start, () => ({}));
    await start(client);
  });
});

/** Each ends the bridge of a strict host, as it ends that of hcsshim. */
const breaches: Record<string, (guest: FakeGuest) => void> = {
  'a reply nobody asked for': (guest) => guest.send(START_REPLY, 99n, { Result: 0 }),
  'a reply of another type than the request': (guest) =>
    guest.send(CREATE_REPLY, 1n, { Result: 0 }),
  'a message of another category': (guest) => guest.send(0x20200101, 1n, { Result: 0 }),
  'a request from the guest': (guest) => guest.send(0x10100101, 1n, {}),
  'a reply above 64 KiB': (guest) =>
    guest.send(START_REPLY, 1n, { Result: 0, ErrorMessage: 'x'.repeat(65_536) }),
  'a frame smaller than its header': (guest) => guest.sendRaw(START_REPLY, 1n, Buffer.alloc(0), 15),
  'a reply that is no JSON': (guest) => guest.sendRaw(START_REPLY, 1n, Buffer.from('{')),
  'a reply with a field of the wrong type': (guest) =>
    guest.send(START_REPLY, 1n, { Result: 'zero' }),
  'a Result that is not a signed 32-bit number': (guest) =>
    guest.send(START_REPLY, 1n, { Result: 0xc037010e }),
  'an ActivityId that is no GUID': (guest) =>
    guest.send(START_REPLY, 1n, { Result: 0, ActivityId: '' }),
  'a notification for an unknown container': (guest) => guest.notify('stranger'),
  'a notification with an id': (guest) => guest.send(0x30100101, 7n, { ContainerId: 'a' }),
  'a notification of an unknown type': (guest) => guest.notify('known', { Type: 'Vanished' }),
  'a second notification for a container': (guest) => {
    guest.notify('known');
    guest.notify('known');
  },
};

describe('a strict host', () => {
  for (const [what, breach] of Object.entries(breaches)) {
    it(`ends the bridge over ${what}`, async () => {
      const { guest, client } = await connect();
      const known = client.container('known');
      const outstanding = start(client);
      const other = client.rpc('DumpStacks', { ContainerId: 'a' });
      await guest.request(MessageType.DumpStacks);
      breach(guest);
      const failures = await Promise.all([failureOf(outstanding), failureOf(other)]);
      const end = await client.ended;
      expect(end).toMatchObject({ name: 'BridgeError', code: 'protocol' });
      expect(failures).toEqual([end, end]);
      await expect(start(client)).rejects.toBe(end);
      expect(guest.hostStream.destroyed).toBe(true);
      void known;
    });
  }

  it('accepts a reply of exactly 64 KiB', async () => {
    const { guest, client } = await connect();
    const empty = Buffer.byteLength(JSON.stringify({ Result: 0, GuestStacks: '' }));
    guest.on(MessageType.DumpStacks, (request) => {
      const body = { Result: 0, GuestStacks: 'x'.repeat(65_536 - 16 - empty) };
      guest.send(0x20100c01, request.id, body);
      return undefined;
    });
    expect((await client.dumpStacks()).length).toBe(65_536 - 16 - empty);
  });
});

describe('a lenient host', () => {
  const tolerated = Object.entries(breaches).filter(
    ([what]) => what !== 'a frame smaller than its header',
  );
  for (const [what, breach] of tolerated) {
    it(`lives on after ${what}`, async () => {
      const { guest, client } = await connect({ strict: false });
      client.container('known');
      const outstanding = start(client).catch((error: BridgeError) => error.code);
      await guest.request(MessageType.Start);
      breach(guest);
      guest.on(MessageType.DumpStacks, () => ({ GuestStacks: 'alive' }));
      expect(await client.dumpStacks()).toBe('alive');
      client.close();
      await outstanding;
    });
  }

  it('fails only the request whose reply cannot be decoded', async () => {
    const { guest, client } = await connect({ strict: false });
    const outstanding = start(client);
    await guest.request(MessageType.Start);
    guest.sendRaw(START_REPLY, 1n, Buffer.from('{'));
    await expect(outstanding).rejects.toMatchObject({ code: 'protocol' });
    expect(client.failure).toBeUndefined();
  });
});

describe('a bridge that ends', () => {
  it('fails what is outstanding as lost when the guest closes it', async () => {
    const { guest, client } = await connect();
    const outstanding = start(client);
    await guest.request(MessageType.Start);
    guest.close();
    await expect(outstanding).rejects.toMatchObject({ code: 'lost' });
    await expect(client.ended).resolves.toMatchObject({ code: 'lost' });
  });

  it('says so when it ends inside a message', async () => {
    const { guest, client } = await connect();
    guest.stream.write(Buffer.alloc(5));
    guest.close();
    expect((await client.ended).message).toContain('5 bytes into a message');
  });

  it('fails what is outstanding as closed when this host closes it', async () => {
    const { guest, client } = await connect();
    const outstanding = start(client);
    await guest.request(MessageType.Start);
    client.close();
    await expect(outstanding).rejects.toMatchObject({ code: 'closed' });
    await expect(start(client)).rejects.toMatchObject({ code: 'closed' });
  });
});

describe('negotiation', () => {
  it('tells what the guest can do', async () => {
    const { client } = await connect();
    expect(client.capabilities.GuestDefinedCapabilities.SignalProcessSupported).toBe(true);
    expect(client.capabilities.GuestDefinedCapabilities.DumpStacksSupported).toBe(false);
  });

  it.each([
    ['another version', { ...negotiated, Version: 5 }, 'version 5'],
    ['no capabilities', { Version: 4 }, 'RuntimeOsType'],
  ])('fails on %s', async (_what, reply, text) => {
    const guest = new FakeGuest().on(MessageType.NegotiateProtocol, () => reply);
    const connecting = GuestClient.over(guest.hostStream);
    await expect(connecting).rejects.toThrow(text);
    expect(guest.hostStream.destroyed).toBe(true);
  });

  it('fails with the guest’s own error', async () => {
    const guest = new FakeGuest().on(MessageType.NegotiateProtocol, () => ({
      Result: -1070137076,
      ErrorMessage: 'no common version',
    }));
    const connecting = GuestClient.over(guest.hostStream);
    await expect(connecting).rejects.toMatchObject({ hresult: 0xc037010c });
  });

  it('that is not answered ends with no-guest and closes the connection', async () => {
    const guest = new FakeGuest().on(MessageType.NegotiateProtocol, () => undefined);
    const connecting = GuestClient.over(guest.hostStream, { timeoutMs: 5 });
    await expect(connecting).rejects.toMatchObject({ code: 'no-guest' });
    expect(guest.hostStream.destroyed).toBe(true);
  });
});
