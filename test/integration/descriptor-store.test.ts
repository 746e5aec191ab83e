/** What an agent gave init to keep is there for the next one, whenever the first was killed. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { memory, processEntry, threads } from '../support/proc.ts';
import { Supervised } from '../support/supervised.ts';

const count = (length: number) => Array.from({ length }, (_, index) => index);

/** The hard limit of open files here: an unprivileged supervisor cannot have more. */
function hardLimit(pid: number): number {
  const line = /^Max open files +\d+ +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'));
  return Number(line?.[1]);
}

test('descriptors are found again under their names, with every byte, in order', async () => {
  await using supervised = Supervised.storeAgent();
  await supervised.ask('keep', 's1.0', 1);
  await supervised.ask('keep', 's1.1', 4);
  await supervised.ask('keep', 'A-z_0.9', 2);
  expect(await supervised.ask('names')).toEqual(['s1.0', 's1.1', 'A-z_0.9']);
  await supervised.killAgent();
  expect(await supervised.ask('names')).toEqual(['s1.0', 's1.1', 'A-z_0.9']);
  const files = await supervised.ask('files', 's1.1');
  expect(await supervised.ask('fetch', 's1.1')).toEqual(count(4).map((i) => `s1.1/${i}`));
  expect(await supervised.ask('fetch', 's1.0')).toEqual(['s1.0/0']);
  // They stay, for an agent after that.
  await supervised.killAgent();
  expect(await supervised.ask('files', 's1.1')).toEqual(files);
  expect(await supervised.ask('fetch', 'A-z_0.9')).toEqual(['A-z_0.9/0', 'A-z_0.9/1']);
  expect(await supervised.ask('fetch', 'other')).toEqual([]);
  expect(await supervised.ask('problems')).toEqual([]);
});

test('what was kept in the instant before the agent was killed is kept', async () => {
  await using supervised = Supervised.storeAgent();
  const expected: string[] = [];
  for (const [round, entries] of [1, 30, 400].entries()) {
    await supervised.ask('pid');
    const { starts } = supervised;
    supervised.tell('keepAndDie', `r${round}.`, entries);
    await supervised.nextAgent(starts);
    expected.push(...count(entries).map((i) => `r${round}.${i}`));
    expect(await supervised.ask('names')).toEqual(expected);
  }
  expect(await supervised.ask('fetch', 'r2.399')).toEqual(['r2.399/0']);
});

test('also when init sees the requests only after the agent’s death', async () => {
  await using supervised = Supervised.storeAgent();
  await supervised.ask('keep', 'first', 1);
  const agent = await supervised.agent();
  const { starts } = supervised;
  supervised.tell('keepUnseenAndDie', 'n', 100);
  // Its main thread may end before others, which still hold its end of the channel.
  const dead = () => processEntry(agent)?.state === 'Z' && threads(agent).length === 1;
  while (!dead()) await new Promise((go) => setImmediate(go));
  supervised.signal('SIGCONT');
  await supervised.nextAgent(starts);
  expect(await supervised.ask('names')).toEqual(['first', ...count(100).map((i) => `n${i}`)]);
  expect(await supervised.ask('fetch', 'n99')).toEqual(['n99/0']);
});

test('an entry that was dropped is gone, its descriptors are closed and its name is free', async () => {
  await using supervised = Supervised.storeAgent();
  await supervised.ask('keepMany', 'n', 5, 1);
  await supervised.ask('drop', 'n1');
  await supervised.ask('drop', 'n3');
  expect(await supervised.ask('names')).toEqual(['n0', 'n2', 'n4']);
  await supervised.ask('keep', 'n1', 1);
  expect(await supervised.ask('names')).toEqual(['n0', 'n2', 'n4', 'n1']);
  expect(await supervised.ask('fetch', 'n1')).toEqual(['n1/0']);
  await supervised.ask('keepWriter', 'w');
  expect(await supervised.ask('hungUp', 'w')).toBe(false);
  await supervised.ask('drop', 'w');
  expect(await supervised.ask('hungUp', 'w')).toBe(true);
});

test('what cannot be is refused with the reason, and costs nothing', async () => {
  await using supervised = Supervised.storeAgent();
  await supervised.ask('pid');
  const before = supervised.descriptors().length;
  expect(await supervised.ask('keepRaw', 'taken', 1)).toBe('ok');
  expect(await supervised.ask('keepRaw', 'taken', 1)).toBe('error exists');
  expect(await supervised.ask('keepRaw', '', 1)).toBe('error bad name');
  expect(await supervised.ask('keepRaw', 'a/b', 1)).toBe('error bad name');
  expect(await supervised.ask('keepRaw', 'a b', 1)).toBe('error bad name');
  expect(await supervised.ask('keepRaw', 'ü', 1)).toBe('error bad name');
  expect(await supervised.ask('keepRaw', 'x'.repeat(64), 1)).toBe('error bad name');
  expect(await supervised.ask('keepRaw', 'x'.repeat(63), 1)).toBe('ok');
  expect(await supervised.ask('keepRaw', 'none', 0)).toBe('error not 1 to 4 descriptors');
  expect(await supervised.ask('keepRaw', 'many', 5)).toBe('error not 1 to 4 descriptors');
  expect(await supervised.ask('keepRaw', 'many', 253)).toBe('error not 1 to 4 descriptors');
  for (const request of ['store', 'drop', 'fetch', 'list', 'stores x', 'reboots']) {
    expect(await supervised.ask('request', request)).toBe('error unknown request');
  }
  expect(await supervised.ask('request', 'drop nothing')).toBe('error unknown');
  expect(await supervised.ask('request', 'fetch nothing')).toBe('error unknown');
  expect(await supervised.ask('request', 'list all')).toBe('error not a number');
  expect(await supervised.ask('request', 'list -1')).toBe('error not a number');
  expect(await supervised.ask('request', 'list 99')).toBe('end');
  expect(supervised.descriptors()).toHaveLength(before + 2);
});

test('a thousand entries: none lost, no descriptor left over, at most 1 MiB of memory', async () => {
  await using supervised = Supervised.storeAgent();
  await supervised.ask('pid');
  const before = supervised.descriptors();
  await supervised.ask('keepMany', 'thousand.', 1000, 1);
  await supervised.killAgent();
  expect(await supervised.ask('names')).toEqual(count(1000).map((i) => `thousand.${i}`));
  expect(supervised.descriptors()).toHaveLength(before.length + 1000);
  expect(memory(supervised.pid).rss).toBeLessThanOrEqual(1024);
  await supervised.ask('dropMany', 'thousand.', 1000);
  expect(await supervised.ask('names')).toEqual([]);
  expect(supervised.descriptors()).toHaveLength(before.length);
  expect(await supervised.ask('problems')).toEqual([]);
});

test('a full store refuses, and takes again what fits', async () => {
  await using supervised = Supervised.storeAgent();
  await supervised.ask('pid');
  const before = supervised.descriptors().length;
  const room = Math.min(12288, hardLimit(supervised.pid) - 300);
  const full = Math.floor(room / 4);
  await supervised.ask('keepMany', 'four.', full, 4);
  expect(await supervised.ask('problems')).toEqual([]);
  expect(await supervised.ask('keepRaw', 'more', 4)).toBe('error full');
  await supervised.ask('keep', 'reported', 4);
  await supervised.ask('keep', 'reported2', 4);
  expect(await supervised.ask('problems')).toEqual([
    'descriptors of reported are not kept: error full',
  ]);
  // Nothing to drop, and nothing to report.
  await supervised.ask('drop', 'reported');
  expect(await supervised.ask('problems')).toHaveLength(1);
  await supervised.ask('drop', 'four.0');
  expect(await supervised.ask('keepRaw', 'more', 4)).toBe('ok');
  await supervised.ask('dropMany', 'four.', full);
  await supervised.ask('drop', 'more');
  expect(supervised.descriptors()).toHaveLength(before);
  await supervised.ask('keepMany', 'one.', 4096, 1);
  expect(await supervised.ask('keepRaw', 'one.more', 1)).toBe('error full');
  const names = await supervised.ask('names');
  expect(names).toEqual(count(4096).map((i) => `one.${i}`));
  expect(memory(supervised.pid).rss).toBeLessThanOrEqual(1024);
});

test('where init may open few files the store is small, and init itself goes on', async () => {
  await using supervised = Supervised.storeAgent({ prefix: ['prlimit', '--nofile=400:400'] });
  await supervised.ask('pid');
  // Who has CAP_SYS_RESOURCE raises even a hard limit.
  const room = Math.min(12288, hardLimit(supervised.pid) - 300);
  await supervised.ask('keepMany', 'n', room, 1);
  expect(await supervised.ask('problems')).toEqual([]);
  expect(await supervised.ask('keepRaw', 'full', 1)).toBe('error full');
  expect(await supervised.ask('keepRaw', 'many', 253)).toBe('error not 1 to 4 descriptors');
  await supervised.killAgent();
  expect(await supervised.ask('names')).toHaveLength(room);
  // The agent has the limit that the supervisor was started with.
  const agent = readFileSync(`/proc/${await supervised.agent()}/limits`, 'utf8');
  expect(/^Max open files +\d+ +(\d+)/m.exec(agent)?.[1]).toBe('400');
});

test('an agent that does not read its replies is waited for, by nobody else', async () => {
  await using supervised = Supervised.storeAgent();
  const { sent, replies } = (await supervised.ask('stuff', 'drop x')) as {
    sent: number;
    replies: string[];
  };
  expect(sent).toBeGreaterThan(100);
  expect(new Set(replies)).toEqual(new Set(['error unknown']));
  expect(replies).toHaveLength(sent);
});

test('a supervisor that is killed takes the store with it, and the agent lives', async () => {
  await using supervised = Supervised.storeAgent();
  await supervised.ask('keep', 'early', 1);
  expect(await supervised.ask('available')).toBe(true);
  expect(await supervised.ask('outliveSupervisor')).toEqual({
    refused: expect.stringMatching(/EPIPE|ECONNRESET/),
    available: false,
    found: [[], []],
    problems: ['descriptors of late are not kept: init is gone'],
  });
  expect(await supervised.exited).toBeNull();
});
