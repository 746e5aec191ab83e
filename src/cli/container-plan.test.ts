import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { containerOptions } from './container-options.ts';
import { planContainer } from './container-plan.ts';
import { type Io, processIo } from './io.ts';
import { parseOptions } from './options.ts';
import { parseBytes } from './values.ts';

let directory: string;
let io: Io;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcsctl-test-'));
  mkdirSync(join(directory, 'rootfs/etc'), { recursive: true });
  writeFileSync(
    join(directory, 'rootfs/etc/passwd'),
    'root:x:0:0::/:/bin/sh\ntester:x:1000:1001::/:/bin/sh\n',
  );
  writeFileSync(join(directory, 'rootfs/etc/group'), 'root:x:0:\naudio:x:29:tester\n');
  io = {
    ...processIo(),
    stdout: silentStream(),
    stderr: silentStream(),
    cwd: directory,
    env: { FROM: 'outside' },
  };
});

afterEach(() => rmSync(directory, { recursive: true }));

function silentStream(): Io['stdout'] {
  return { isTTY: true, columns: 120, rows: 40 } as unknown as Io['stdout'];
}

function plan(...argv: string[]) {
  const { values, positionals } = parseOptions(containerOptions, argv, { commandAt: 0 });
  return planContainer(values, positionals, io);
}

const withRootfs = (...argv: string[]) => plan('--rootfs', 'rootfs', ...argv);

describe('a container from a root directory', () => {
  it('has usual namespaces, mounts and rights, and a directory of its own for a bundle', () => {
    const { id, bundle, spec, terminal } = withRootfs('sh', '-c', 'x');
    expect(id).toMatch(/^gcsctl-[0-9a-f]{12}$/);
    expect(bundle).toBe(`/run/gcs/c/${id}`);
    expect(terminal).toBe(false);
    expect(spec.root).toEqual({ path: join(directory, 'rootfs'), readonly: false });
    expect(spec.process).toMatchObject({ args: ['sh', '-c', 'x'], cwd: '/', terminal: false });
    expect(spec.hostname).toBe(id);
    expect(spec.linux?.namespaces?.map(({ type }) => type)).toEqual([
      'pid',
      'ipc',
      'uts',
      'mount',
      'network',
    ]);
    expect(spec.mounts?.map(({ destination }) => destination)).toEqual([
      '/proc',
      '/dev',
      '/dev/pts',
      '/dev/shm',
      '/dev/mqueue',
      '/sys',
    ]);
    expect(spec.mounts?.at(-1)?.options).toContain('ro');
    expect(JSON.stringify(spec.process)).not.toContain('CAP_SYS_ADMIN');
  });

  it('is changed by every option', () => {
    const { id, spec, terminal } = withRootfs(
      ...['--name', 'web', '-t', '-e', 'A=b=c', '-e', 'FROM', '-e', 'UNSET', '--cwd', '/srv'],
      ...['--hostname', 'box', '-m', '64m', '--cpus', '0.5', '--pids', '20', '--read-only'],
      ...['--mount', './data:/data:ro', '--network', 'host', '--', 'sh'],
    );
    expect(id).toBe('web');
    expect(terminal).toBe(true);
    expect(spec.hostname).toBe('box');
    expect(spec.root?.readonly).toBe(true);
    expect(spec.process).toMatchObject({
      terminal: true,
      consoleSize: { height: 40, width: 120 },
      cwd: '/srv',
    });
    const env = spec.process?.env ?? [];
    expect(env.filter((entry) => !entry.startsWith('PATH='))).toEqual([
      'TERM=xterm',
      'A=b=c',
      'FROM=outside',
    ]);
    expect(spec.linux?.resources).toMatchObject({
      memory: { limit: 64 * 1024 * 1024 },
      cpu: { quota: 50_000, period: 100_000 },
      pids: { limit: 20 },
    });
    expect(spec.mounts?.at(-1)).toEqual({
      destination: '/data',
      source: join(directory, 'data'),
      type: 'bind',
      options: ['rbind', 'rprivate', 'ro'],
    });
    expect(spec.linux?.namespaces).not.toContainEqual({ type: 'network' });
  });

  it.each([
    ['tester', { uid: 1000, gid: 1001 }],
    ['tester:audio', { uid: 1000, gid: 29 }],
    ['1000', { uid: 1000, gid: 1001 }],
    ['4242', { uid: 4242, gid: 0 }],
    ['4242:4343', { uid: 4242, gid: 4343 }],
  ])('runs as %s', (user, expected) => {
    expect(withRootfs('--user', user, 'sh').spec.process?.user).toEqual(expected);
  });

  it.each([
    [['--user', 'nobody', 'sh'], 'no user "nobody"'],
    [['--user', 'tester:none', 'sh'], 'no group "none"'],
    [['--user', ':1', 'sh'], '--user is USER or USER:GROUP'],
    [['--user', '4294967295', 'sh'], 'no user or group id'],
    [['--mount', 'a', 'sh'], '--mount is SOURCE:DESTINATION'],
    [['--mount', 'a:b', 'sh'], 'DESTINATION absolute'],
    [['--mount', 'a:/b:rx', 'sh'], 'ro or rw, not "rx"'],
    [['--env', '=x', 'sh'], '--env is NAME=VALUE'],
    [['--memory', 'lots', 'sh'], '--memory is a size'],
    [['--name', '../x', 'sh'], 'no container id'],
    [['--name', '..', 'sh'], 'no container id'],
    [['--bundle', '.', 'sh'], 'either --bundle DIR or --rootfs DIR'],
    [[], 'COMMAND to run is missing'],
  ])('refuses %j', (argv, message) => {
    expect(() => withRootfs(...argv)).toThrow(message);
  });
});

describe('a container from a bundle', () => {
  const write = (text: string) => writeFileSync(join(directory, 'config.json'), text);
  const spec = {
    ociVersion: '1.0.2',
    process: { terminal: true, args: ['old'], env: ['PATH=/bin'], cwd: '/', user: { uid: 5 } },
    root: { path: 'rootfs', readonly: true },
    hostname: 'from-bundle',
    linux: { resources: { memory: { limit: 5 } }, namespaces: [{ type: 'pid' }] },
    annotations: { kept: 'yes' },
  };

  it('is what config.json says, with an absolute root; a terminal is for -t to say', () => {
    write(JSON.stringify(spec));
    const planned = plan('--bundle', '.');
    expect(planned.spec).toMatchObject({
      ...spec,
      root: { path: join(directory, 'rootfs'), readonly: true },
      process: { ...spec.process, terminal: false },
    });
    expect(planned.bundle).not.toContain(directory);
  });

  it('is changed by options and command, and the file is not', () => {
    write(JSON.stringify(spec));
    const before = readFileSync(join(directory, 'config.json'), 'utf8');
    const changed = plan('-b', directory, '--cpus', '1', '-e', 'X=1', 'new', 'command').spec;
    expect(changed.process).toMatchObject({ args: ['new', 'command'], env: ['PATH=/bin', 'X=1'] });
    expect(changed.linux?.resources).toEqual({
      memory: { limit: 5 },
      cpu: { quota: 100_000, period: 100_000 },
    });
    expect(readFileSync(join(directory, 'config.json'), 'utf8')).toBe(before);
  });

  it('keeps 64-bit limits digit for digit', () => {
    write('{"process":{},"linux":{"resources":{"pids":{"limit":18446744073709551615}}}}');
    expect(plan('-b', '.').spec.linux?.resources).toEqual({
      pids: { limit: 18446744073709551615n },
    });
  });

  it.each([
    ['[]', 'not an object'],
    ['{', 'cannot read the bundle'],
  ])('with the config.json %s is refused', (text, message) => {
    write(text);
    expect(() => plan('-b', '.')).toThrow(message);
  });

  it('without a config.json is refused with the path', () => {
    expect(() => plan('-b', 'missing')).toThrow(join(directory, 'missing/config.json'));
  });
});

describe('sizes', () => {
  it.each([
    ['4096', 4096],
    ['64m', 67_108_864],
    ['64MiB', 67_108_864],
    ['1.5g', 1_610_612_736],
    ['2k', 2048],
  ])('%s is %d bytes', (text, bytes) => expect(parseBytes('--memory', text)).toBe(bytes));

  it.each(['', '0', '-1', 'm', '1e9', '1x', '99999999t'])('"%s" is refused', (text) => {
    expect(() => parseBytes('--memory', text)).toThrow('--memory is a size');
  });
});
