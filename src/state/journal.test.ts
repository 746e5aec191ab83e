import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Logger, silentLogger } from '../log/logger.ts';
import { type ProcessEnd, processStartTime } from '../os/process.ts';
import { Journal, type RecordedProcess } from './journal.ts';
import { hasState } from './left.ts';
import { packed, unpacked } from './packed.ts';
import { endFrom } from './records.ts';
import { readState } from './recover.ts';

let path: string;
let said: string[];
let log: Logger;
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'gcs-state-')), 'state');
  said = [];
  const say = (message: string, fields?: object): void => {
    said.push(`${message} ${JSON.stringify(fields ?? {})}`);
  };
  log = { ...silentLogger, error: say, warning: say };
});
afterEach(() => rmSync(join(path, '..'), { recursive: true }));

const facts = {
  id: 'c1',
  bundle: '/run/gcs/c/c1',
  scratch: undefined,
  runtime: 'runc',
  stdio: 7,
  terminal: false,
  network: undefined,
  resolver: undefined,
  made: { files: [], directories: [] },
};

function fakeProcess(pid: number): RecordedProcess {
  return { pid, startTime: 10 * pid, ended: undefined, beforeCollect: undefined };
}

const end: ProcessEnd = {
  status: { kind: 'exited', code: 3 },
  endedAtNs: 1_700_000_000_123_456_789n,
  reason: undefined,
};

test('what is written is read again: facts, progress, processes, numbers of streams', () => {
  const journal = new Journal(path, log);
  const container = journal.createContainer(facts);
  container.surroundings({ pod: { id: 'pod' } });
  const init = fakeProcess(11);
  container.created(init, '1:memory:/c1\n');
  container.phase('starting');
  container.running();
  const exec = container.createProcess('terminal', 9);
  exec.running(fakeProcess(12));
  init.beforeCollect?.(end);
  journal.createProcess('direct', 12).running(fakeProcess(13));
  const found = readState(path, log);
  expect(found.highestNumber).toBe(12);
  const [first] = found.containers;
  expect(first).toMatchObject({
    id: 'c1',
    facts: { bundle: '/run/gcs/c/c1', stdio: 7 },
    surroundings: { pod: { id: 'pod' } },
    progress: { phase: 'running', init: { pid: 11, startTime: 110 }, membership: '1:memory:/c1\n' },
    execs: [{ number: 9, progress: { streams: 'terminal', process: { pid: 12 } } }],
  });
  const recorded = first?.progress?.end;
  expect(recorded && endFrom(recorded)).toEqual(end);
  expect(found.processes).toMatchObject([{ number: 12, progress: { process: { pid: 13 } } }]);
  expect(said).toEqual([]);
});

test('nobody but root can read it, also where the directory was there', () => {
  mkdirSync(path, { mode: 0o755 });
  chmodSync(path, 0o755);
  new Journal(path, log).createContainer(facts);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(join(path, 'c/c1/container.json')).mode & 0o777).toBe(0o600);
});

test('before the first transition a container is being created; afterwards nothing is left of it', () => {
  const journal = new Journal(path, log);
  expect(hasState(path)).toBe(false);
  const container = journal.createContainer(facts);
  expect(hasState(path)).toBe(true);
  expect(readState(path, log).containers[0]?.progress).toEqual({ phase: 'creating' });
  container.remove();
  expect(hasState(path)).toBe(false);
});

test('an announcement on its way outlives its container', () => {
  const container = new Journal(path, log).createContainer(facts);
  container.announcing({ type: 'ForcedExit' });
  container.remove();
  expect(readState(path, log).containers[0]?.progress).toMatchObject({
    phase: 'gone',
    exit: { type: 'ForcedExit' },
  });
  container.announced();
  expect(hasState(path)).toBe(false);
});

test('what is told of a container that is gone is not written any more', () => {
  const container = new Journal(path, log).createContainer(facts);
  const process = fakeProcess(5);
  container.createProcess('pipes', 8).running(process);
  container.remove();
  process.beforeCollect?.(end);
  expect(existsSync(join(path, 'c/c1'))).toBe(false);
  expect(said).toEqual([]);
});

test.each([
  ['torn', '{"version":1,"pha'],
  ['empty', ''],
  ['of another version', '{"version":2,"phase":"running"}'],
  ['no object', '7'],
])('a record that is %s is named, and the others are read', (_what, text) => {
  const journal = new Journal(path, log);
  journal.createContainer(facts);
  journal.createContainer({ ...facts, id: 'c2' });
  writeFileSync(join(path, 'c/c1/state.json'), text);
  writeFileSync(join(path, 'c/c2/state.json.new'), text);
  const [one, two] = readState(path, log).containers;
  expect([one?.progress, two?.progress]).toEqual([undefined, { phase: 'creating' }]);
  expect(said).toHaveLength(1);
  expect(said[0]).toContain('c/c1/state.json');
});

test('what a kill has left half written is removed; a container may have such a name', () => {
  const journal = new Journal(path, log);
  journal.createContainer({ ...facts, id: 'web.new' });
  journal.createProcess('pipes', 3);
  const half = join(path, 'p/4.json.new');
  writeFileSync(half, '{"ver');
  const { containers, processes } = readState(path, log);
  expect(containers.map(({ id }) => id)).toEqual(['web.new']);
  expect(processes.map(({ number }) => number)).toEqual([3]);
  expect(existsSync(half)).toBe(false);
  expect(said).toEqual([]);
});

test('a directory of a living agent is left alone; one of a dead agent, or of another with its pid, is taken', () => {
  mkdirSync(path);
  const own = (pid: number, startTime: number): void =>
    writeFileSync(join(path, 'owner'), JSON.stringify({ version: 1, pid, startTime }));
  const parent = process.ppid;
  own(parent, processStartTime(parent) ?? 0);
  expect(new Journal(path, log).path).toBeUndefined();
  expect(said[0]).toContain(`in use by the agent with pid ${parent}`);
  own(parent, 1);
  expect(new Journal(path, log).path).toBe(path);
  expect(JSON.parse(readFileSync(join(path, 'owner'), 'utf8'))).toMatchObject({ pid: process.pid });
});

test('a directory that cannot be written is told once, and nothing fails for it', () => {
  const journal = new Journal(path, log);
  rmSync(path, { recursive: true });
  writeFileSync(path, '');
  const container = journal.createContainer(facts);
  container.created(fakeProcess(3), undefined);
  container.remove();
  expect(said).toHaveLength(1);
  expect(said[0]).toContain('state cannot be written');
});

test('bytes and Infinity come through', () => {
  const value = { a: [Uint8Array.of(1, 2, 255)], seconds: Number.POSITIVE_INFINITY, n: null };
  expect(unpacked(JSON.parse(JSON.stringify(packed(value))))).toEqual(value);
});
