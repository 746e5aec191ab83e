import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { dockerSave, writeArchive } from '../../test/support/image/forms.ts';
import { tar } from '../../test/support/image/tar.ts';
import { processStartTime } from '../os/process.ts';
import { containerOptions } from './container-options.ts';
import { main } from './gcsctl.ts';
import { prepareImage } from './image-container.ts';
import { imageOptions } from './image-options.ts';
import type { Io } from './io.ts';
import { parseOptions } from './options.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-run-image-'));
  // As much of a running VM as is looked at before the image is ready: this process stands for it.
  mkdirSync(join(directory, 'vm/one'), { recursive: true });
  const supervisor = { pid: process.pid, startTime: processStartTime(process.pid) };
  writeFileSync(join(directory, 'vm/one/state.json'), JSON.stringify({ name: 'one', supervisor }));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function io(): Io & { stderr: PassThrough } {
  const env = { GCSCTL_VM_DIR: join(directory, 'vm'), HOME: directory, TERM: 'xterm-kitty' };
  const streams = {
    stdin: new PassThrough(),
    stdout: new PassThrough(),
    stderr: new PassThrough(),
  };
  return { ...streams, env, cwd: directory };
}

function image(config: object): string {
  const layer = { tar: tar([{ path: 'etc/passwd', data: 'web:x:10:20::/:\n' }]) };
  return writeArchive(join(directory, 'image.tar'), dockerSave([{ layers: [layer], config }]));
}

const table = {
  ...containerOptions,
  ...imageOptions,
  vm: { kind: 'text', value: 'NAME', help: '' },
  rm: { kind: 'flag', default: true, help: '' },
} as const;

async function plan(argv: readonly string[], config: object) {
  const { values, positionals } = parseOptions(
    table,
    ['--vm', 'one', '--image', image(config), ...argv],
    {
      commandAt: 0,
    },
  );
  const surroundings = io();
  const prepared = await prepareImage(
    values,
    positionals,
    surroundings,
    new AbortController().signal,
  );
  return { plan: prepared.plan, told: String(surroundings.stderr.read() ?? '') };
}

test('the specification has the image’s process, changed by options and command', async () => {
  const config = {
    Entrypoint: ['/e'],
    Cmd: ['c'],
    Env: ['A=1', 'B=2'],
    User: 'web',
    StopSignal: '3',
  };
  const options = ['-t', '-e', 'B=3', '--read-only', '--memory', '64m', '--name', 'x', '--', 'arg'];
  const { plan: made } = await plan(options, config);
  expect(made).toMatchObject({ id: 'x', terminal: true });
  expect(made.spec).toMatchObject({
    annotations: { 'org.opencontainers.image.stopSignal': '3' },
    hostname: 'x',
    root: { path: '/run/gcsctl/x/rootfs', readonly: true },
    process: { args: ['/e', 'arg'], cwd: '/', user: { uid: 10, gid: 20 }, terminal: true },
    linux: { resources: { memory: { limit: 64 * 1024 ** 2 } } },
  });
  const env = made.spec.process?.env ?? [];
  expect(env).toEqual(expect.arrayContaining(['A=1', 'B=3', 'TERM=xterm-kitty']));
  expect(env.filter((entry) => entry.startsWith('B='))).toEqual(['B=3']);
});

test('labels of the image do not reach the agent, which takes annotations for orders', async () => {
  const Labels = { 'io.microsoft.virtualmachine.lcow.privileged': 'true' };
  const { plan: made } = await plan([], { Cmd: ['x'], Labels });
  expect(made.spec.annotations).toBeUndefined();
});

test('layers are told of when they are made, and not again', async () => {
  const first = await plan([], { Cmd: ['x'] });
  expect(first.told).toMatch(
    /^layer 1\/1 [0-9a-f]{12}: \d+ KiB → disk of \d+ KiB\n1 layer on disks/,
  );
  expect((await plan([], { Cmd: ['x'] })).told).toBe('');
  const elsewhere = ['--quiet', '--cache-dir', join(directory, 'other')];
  expect((await plan(elsewhere, { Cmd: ['x'] })).told).toBe('');
});

test('an image without a program needs a command', async () => {
  await expect(plan([], {})).rejects.toThrow('give the COMMAND to run');
});

test.each([
  [['--image', 'x'], '--image needs --vm NAME'],
  [['--image', 'x', '--vm', 'one', '--rootfs', '/'], 'give one of --image FILE'],
  [['--image', 'x', '--vm', 'one', '--no-rm'], '--no-rm cannot go with --image'],
  [['--image', 'x', '--vm', 'one', '--scratch-size', 'much'], '--scratch-size is a size'],
  [['--rootfs', '/', '--entrypoint', 'x'], '--entrypoint needs --image FILE'],
])('%j is no command line', async (argv, message) => {
  const surroundings = io();
  expect(await main(['run', ...argv, '--', 'x'], surroundings)).toBe(2);
  expect(String(surroundings.stderr.read())).toContain(message);
});

test.each([
  [['--image', 'none.tar', '--vm', 'one'], 'none.tar'],
  [['--image', 'x', '--vm', 'two'], 'no VM "two" runs'],
])('%j fails with the reason', async (argv, message) => {
  const surroundings = io();
  expect(await main(['run', ...argv, '--', 'x'], surroundings)).toBe(125);
  expect(String(surroundings.stderr.read())).toContain(message);
});
