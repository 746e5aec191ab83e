import { expect, test } from 'vitest';
import { InitDescriptorStore, noStore } from './descriptor-store.ts';
import { Fd } from './fd.ts';
import { InitChannel } from './init-channel.ts';
import { pipe } from './pipe.ts';
import { receiveFds, sendFds } from './rights.ts';
import { packetPair } from './socket.ts';

/** A store over a channel whose other end the test is; init itself is in test/integration. */
function open() {
  const [ours, init] = packetPair();
  const channel = new InitChannel(ours);
  const problems: string[] = [];
  const store = new InitDescriptorStore(channel, (problem) => problems.push(problem));
  return {
    channel,
    init,
    store,
    problems,
    /** Takes a request and answers it. */
    async answer(reply: string): Promise<string> {
      const { data, fds } = await receiveFds(init);
      for (const fd of fds) fd.close();
      sendFds(init, Buffer.from(reply), []);
      return `${data} +${fds.length}`;
    },
    [Symbol.dispose]() {
      channel[Symbol.dispose]();
      init.close();
    },
  };
}

/** Until replies sent so far were taken. */
async function settled(lab: ReturnType<typeof open>): Promise<void> {
  const reply = lab.channel.request('last');
  await lab.answer('ok');
  await reply;
}

test('requests go out in order with their descriptors, and the caller’s stay open', async () => {
  using lab = open();
  const { read, write } = pipe();
  using one = read;
  using two = write;
  lab.store.keep('a', [one, two]);
  lab.store.drop('a');
  lab.store.keep('b', [one]);
  expect(await lab.answer('ok')).toBe('store a +2');
  expect(await lab.answer('ok')).toBe('drop a +0');
  expect(await lab.answer('ok')).toBe('store b +1');
  await settled(lab);
  expect([one.open, two.open, lab.problems]).toEqual([true, true, []]);
});

test('a refusal is reported once for each reason, and what was refused is not dropped', async () => {
  using lab = open();
  using fd = pipe().read;
  for (const name of ['a', 'b', 'c']) lab.store.keep(name, [fd]);
  // Asked before the refusal is known.
  lab.store.drop('c');
  await lab.answer('error full');
  await lab.answer('error full');
  await lab.answer('error exists');
  await lab.answer('error unknown');
  await settled(lab);
  lab.store.drop('a');
  await settled(lab);
  expect(lab.problems).toEqual([
    'descriptors of a are not kept: error full',
    'descriptors of c are not kept: error exists',
  ]);
  lab.store.drop('other');
  expect(await lab.answer('error unknown')).toBe('drop other +0');
  await settled(lab);
  expect(lab.problems.at(-1)).toBe('descriptors of other are not given up: error unknown');
});

test('names come in as many packets as init needs', async () => {
  using lab = open();
  const names = lab.store.names();
  expect(await lab.answer('ok 7\ns1.0 1\ns1.1 2')).toBe('list 0 +0');
  expect(await lab.answer('ok 19\nt 4')).toBe('list 7 +0');
  expect(await lab.answer('end')).toBe('list 19 +0');
  expect(await names).toEqual(['s1.0', 's1.1', 't']);
});

test.each([
  'error out of order',
  'ok',
  'ok 0\na 1',
  'ok 3',
])('a list that is none is an error: %j', async (reply) => {
  using lab = open();
  const names = lab.store.names();
  const failed = expect(names).rejects.toMatchObject({ code: 'EIO' });
  await lab.answer(reply);
  await failed;
});

test('what is fetched is the caller’s; nothing is found under an unknown name', async () => {
  using lab = open();
  using fd = pipe().read;
  const fetched = lab.store.fetch('a');
  await receiveFds(lab.init);
  sendFds(lab.init, Buffer.from('ok'), [fd, fd]);
  const fds = await fetched;
  expect(fds).toHaveLength(2);
  for (const each of fds) each.close();
  const unknown = lab.store.fetch('b');
  await lab.answer('error unknown');
  expect(await unknown).toEqual([]);
  const failed = expect(lab.store.fetch('c')).rejects.toMatchObject({ code: 'EIO' });
  await lab.answer('error busy');
  await failed;
});

test('a name or a number of descriptors that cannot be is the caller’s mistake', () => {
  using lab = open();
  using fd = pipe().read;
  for (const store of [lab.store, noStore]) {
    for (const name of ['', 'a b', 'a/b', 'ü', 'x'.repeat(64), 'a\n']) {
      expect(() => store.keep(name, [fd])).toThrow(TypeError);
      expect(() => store.drop(name)).toThrow(TypeError);
    }
    expect(() => store.keep('a', [])).toThrow(RangeError);
    expect(() => store.keep('a', [fd, fd, fd, fd, fd])).toThrow(RangeError);
  }
});

test('when init is gone there is nothing, said once', async () => {
  using lab = open();
  using fd = pipe().read;
  lab.store.keep('a', [fd]);
  lab.init.close();
  expect(await lab.store.names()).toEqual([]);
  expect(await lab.store.fetch('a')).toEqual([]);
  lab.store.keep('b', [fd]);
  lab.store.drop('a');
  await lab.store.flush();
  expect(lab.store.available).toBe(false);
  expect(lab.problems).toEqual([expect.stringMatching(/: init is gone$/)]);
});

test('where there is no init nothing is kept, and nothing fails', async () => {
  using fd = pipe().read;
  noStore.keep('a', [fd]);
  noStore.drop('a');
  await noStore.flush();
  expect([noStore.available, await noStore.names(), await noStore.fetch('a')]).toEqual([
    false,
    [],
    [],
  ]);
  expect(fd).toBeInstanceOf(Fd);
});
