import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BridgeError, GuestError } from '../client/errors.ts';
import { commands } from './commands.ts';
import { CliError, Interrupted, UsageError } from './exit-codes.ts';
import { tellFailure } from './failures.ts';
import { main } from './gcsctl.ts';
import type { Io } from './io.ts';

class Sink extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    this.text += chunk.toString();
    callback();
  }
}

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcsctl-test-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

async function gcsctl(...argv: string[]) {
  const stdout = new Sink();
  const stderr = new Sink();
  const io: Io = { stdin: Readable.from([]), stdout, stderr, env: {}, cwd: directory };
  const code = await main(argv, io);
  return { code, out: stdout.text, err: stderr.text };
}

describe('help', () => {
  it('lists every command with its summary and the exit codes', async () => {
    const { code, out } = await gcsctl('--help');
    expect(code).toBe(0);
    for (const { name, summary } of commands) {
      expect(out).toContain(name);
      expect(out).toContain(summary);
    }
    expect(out).toContain('vsock');
    expect(out).toMatch(/125 .*gcsctl, the agent/);
  });

  it('without a command goes to stderr, for it was not asked for', async () => {
    expect(await gcsctl()).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining('Usage:'),
    });
  });

  it.each(
    commands.map((command) => [command.name, command] as const),
  )('of %s has usage, every option, examples that parse and exit codes', async (name, command) => {
    const { code, out } = await gcsctl(name, '--help');
    expect(code).toBe(0);
    expect(out).toContain(`Usage: gcsctl ${name}`);
    for (const [option, spec] of Object.entries(command.options)) {
      expect(out).toContain(`--${option}`);
      expect(spec.help).not.toBe('');
    }
    expect(out).toContain('Exit codes:');
    expect(command.examples.length).toBeGreaterThan(0);
    for (const [example] of command.examples) {
      expect(`${example} `.startsWith(`${name} `)).toBe(true);
    }
    expect(await gcsctl('help', ...name.split(' '))).toEqual({ code, out, err: '' });
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(110);
  });

  it.each([['vm'], ['system']])('of the group "%s" lists its commands', async (group) => {
    const { code, out } = await gcsctl(group, '--help');
    expect(code).toBe(0);
    for (const { name } of commands.filter((each) => each.name.startsWith(`${group} `))) {
      expect(out).toContain(`  ${name} `);
    }
    expect(await gcsctl('help', group)).toEqual({ code, out, err: '' });
    expect(await gcsctl(group)).toEqual({ code: 2, out: '', err: out });
  });

  it('has no short letter twice in a command', () => {
    for (const command of commands) {
      const letters = Object.values(command.options).flatMap((spec) => spec.short ?? []);
      expect(new Set(letters).size, command.name).toBe(letters.length);
    }
  });
});

describe('a wrong command line', () => {
  it.each([
    [['rnu'], 'unknown command "rnu", did you mean "run"?'],
    [['frobnicate'], 'unknown command "frobnicate"\n'],
    [['run', '--rotfs', 'x', 'sh'], 'unknown option --rotfs, did you mean --rootfs?'],
    [['run', 'sh'], 'give either --bundle DIR or --rootfs DIR'],
    [['run', '--rootfs', 'x', '--no-rm', 'sh'], '--no-rm needs --host'],
    [['run', '--host', 'h', '--runtime', 'crun', '--rootfs', 'x', 'sh'], '--runtime is for'],
    [['exec', 'web'], 'the COMMAND to run is missing'],
    [['exec'], 'the ID of the container is missing'],
    [['wait'], 'the ID of the container is missing'],
    [['ps', 'a', 'b'], 'unexpected argument "b"'],
    [['ps', '--filter', 'status=gone'], 'status is one of'],
    [['ps', '--filter', 'size=1'], 'none of status, id, annotation'],
    [['ps', '--format', 'xml'], '--format is one of table, json'],
    [['events', '--filter', 'event=boom'], 'event is one of'],
    [['logs', '--since', 'yesterday', 'web'], '--since is a time like'],
    [['attach', '--detach-keys', 'ctrl-pq', 'web'], 'neither one character nor ctrl-LETTER'],
    [['cp', 'a', 'b'], 'one of source and destination'],
    [['cp', 'web:/a', 'db:/b'], 'one of source and destination'],
    [['cp', 'web:/../a', 'b'], 'has no ..'],
    [['stop'], 'the ID of the container is missing'],
    [['stats', '--stream', '--no-stream'], 'exclude each other'],
    [['kill', '--all', '-p', '1', 'web'], 'exclude each other'],
    [['exec', '-di', 'web', 'true'], 'exclude each other'],
    [['run', '--log', '/x', '--rootfs', 'x', 'sh'], '--log goes with --detach'],
    [['run', '-d', '--image', 'x'], '--image and --detach exclude'],
    [['run', '-d', '--log', 'x', '--rootfs', 'x', 'sh'], '--log is an absolute path'],
    [['run', '-d', '--stop-signal', 'NO', '--rootfs', 'x', 'sh'], 'no signal is called "NO"'],
    [['system', 'log-level', 'loud'], 'LEVEL is one of'],
    [['completion', 'csh'], 'bash, zsh and fish are known'],
    [['ping', 'x'], 'unexpected argument "x"'],
    [['kill', '-s', 'NOPE', 'web'], 'no signal is called "NOPE"'],
    [['update', 'web'], 'nothing to change'],
    [['start', '-di', 'web'], 'exclude each other'],
    [['start', '--json', 'web'], '--json goes with --detach'],
    [['ping', '--host', 'x'.repeat(200)], '--host: a path of at most'],
  ])('%j exits with 2 and says why', async (argv, message) => {
    const { code, out, err } = await gcsctl(...argv);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(message);
    expect(err).toContain('--help');
  });
});

describe('without an agent', () => {
  it('says where it listened and how to start one, and leaves nothing', async () => {
    const path = join(directory, 'v');
    const { code, err } = await gcsctl('ping', '--host', path, '--timeout', '0.1');
    expect(code).toBe(125);
    expect(err).toContain(`no agent dialed ${path}_1073741824 within 0.1 s`);
    expect(err).toContain(`gcsctl agent --host ${path}`);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('says which directory is missing', async () => {
    const path = join(directory, 'missing/v');
    const { code, err } = await gcsctl('ping', '--host', path);
    expect(code).toBe(125);
    expect(err).toContain(`${join(directory, 'missing')} does not exist`);
  });

  it('a command of the management door says how to start one, at once', async () => {
    const path = join(directory, 'v');
    const { code, err } = await gcsctl('ps', '--host', path, '--timeout', '60');
    expect(code).toBe(125);
    expect(err).toMatch(/^gcsctl: no agent on .*, or one whose management door is shut/);
    expect(err).toContain(`gcsctl agent --host ${path}`);
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('failures', () => {
  const refusal = (message: string) =>
    new GuestError({ hresult: 0x80004005, request: 'Create', message, records: [] });

  it.each([
    ['exec: "/no": stat /no: no such file or directory', 127],
    ['exec: "no": executable file not found in $PATH', 127],
    ['failed to call Start for external process: fork/exec /no: no such file or directory', 127],
    ['executable file `no` not found in $PATH: No such file or directory', 127],
    ['exec: "/etc/passwd": permission denied', 126],
    ['exec: "/etc": is a directory', 126],
    ['exec /x: exec format error: executable', 126],
    ['invalid rootfs: stat /x: no such file or directory', 125],
    ['anything else', 125],
  ])('the refusal "%s" exits with %d', (message, code) => {
    const told = tellFailure(refusal(message), 'run');
    expect(told?.exitCode).toBe(code);
    expect(told?.text).toContain(message);
    expect(told?.text).toContain('E_FAIL, 0x80004005');
  });

  it('have an exit code each', () => {
    expect(tellFailure(new UsageError('x'), 'run')?.exitCode).toBe(2);
    expect(tellFailure(new CliError('x'), 'run')?.exitCode).toBe(125);
    expect(tellFailure(new Interrupted('SIGTERM', 15), 'run')?.exitCode).toBe(143);
    expect(tellFailure(new BridgeError('lost', 'x'), 'run')?.exitCode).toBe(125);
    expect(tellFailure(new TypeError('x'), 'run')).toBeUndefined();
  });

  it('of the clean-up come after the first one', () => {
    const both = new SuppressedError(new CliError('second'), new Interrupted('SIGINT', 2));
    expect(tellFailure(both, 'run')).toEqual({
      exitCode: 130,
      text: 'gcsctl: interrupted by SIGINT\ngcsctl: second',
    });
  });
});
