import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { commands } from './commands.ts';
import { offerFor } from './completion.ts';
import { completionScripts } from './completion-scripts.ts';

const offered = (...words: string[]) => {
  const { candidates, ...rest } = offerFor(commands, words);
  return { ...rest, words: candidates.map(({ word }) => word) };
};

describe('the shell is offered', () => {
  it('commands and groups at first', () => {
    expect(offered('').words).toEqual(
      expect.arrayContaining(['run', 'ps', 'vm', 'system', 'help']),
    );
    expect(offered('st').words).toEqual(['start', 'stats', 'stop']);
    expect(offered('system', 'he').words).toEqual(['health']);
    expect(offered('vm', '').words).toEqual(['up', 'list', 'console', 'logs', 'down']);
  });

  it('options, with how to turn off those that are on', () => {
    expect(offered('attach', '--').words).toEqual(
      expect.arrayContaining(['--stdin', '--no-stdin', '--detach-keys', '--help']),
    );
    expect(offered('logs', '--ta').words).toEqual(['--tail']);
  });

  it('values: of a choice, VMs, signals, files', () => {
    expect(offered('ps', '--format', '').words).toEqual(['table', 'json']);
    expect(offered('ps', '--format=j')).toMatchObject({ words: ['json'], before: '--format=' });
    expect(offered('ps', '--vm', 'o')).toMatchObject({ source: 'vms' });
    expect(offered('kill', '-s', 'K')).toMatchObject({ source: 'signals' });
    expect(offered('run', '--rootfs', './')).toMatchObject({ source: 'files' });
  });

  it('ids of containers where they stand, of the agent that is named', () => {
    expect(offered('exec', '-it', 'w')).toMatchObject({ source: 'containers', address: {} });
    expect(offered('exec', '-it', 'web', '')).toMatchObject({ source: 'files' });
    expect(offered('exec', 'web', 'ls', '--')).toMatchObject({ source: 'files' });
    expect(offered('rm', '--vm', 'one', 'a', '')).toMatchObject({
      source: 'containers',
      address: { vm: 'one' },
    });
    expect(offered('rm', '--host=/x', '')).toMatchObject({ address: { host: '/x' } });
    expect(offered('logs', 'web', '')).toMatchObject({ source: 'words', words: [] });
    expect(offered('logs', '-fn', '5', '')).toMatchObject({ source: 'containers' });
    expect(offered('vm', 'down', '')).toMatchObject({ source: 'vms' });
  });

  it('nothing for what cannot be known', () => {
    expect(offered('ps', '--timeout', '')).toMatchObject({ source: 'words', words: [] });
    expect(offered('nonsense', '')).toMatchObject({ source: 'files' });
  });
});

describe('the script for bash', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'gcsctl-test-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  /** What a gcsctl that answers with its own words makes bash offer. */
  function completes(words: readonly string[], answer: string): { asked: string; reply: string[] } {
    const asked = join(directory, 'asked');
    const program = join(directory, 'gcsctl');
    writeFileSync(program, `#!/bin/sh\nprintf '<%s>' "$@" >'${asked}'\nprintf %b '${answer}'\n`);
    chmodSync(program, 0o755);
    const script = `${completionScripts.bash}
      COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}) COMP_CWORD=${words.length - 1}
      _gcsctl; printf '%s\\n' "\${COMPREPLY[@]}"; cat '${asked}'`;
    const [last = '', ...reply] = execFileSync('bash', ['-c', script], {
      encoding: 'utf8',
      env: { ...process.env, PATH: `${directory}:${process.env.PATH}` },
    })
      .split('\n')
      .reverse();
    return { asked: last, reply: reply.reverse() };
  }

  it('asks with the words until the cursor and takes what is before the tab', () => {
    expect(completes(['gcsctl', 'rm', 'w'], 'web\\trunning\\nwork\\tstopped\\n')).toEqual({
      asked: '<__complete><--><rm><w>',
      reply: ['web', 'work'],
    });
  });

  it('puts together what bash takes apart', () => {
    expect(completes(['gcsctl', 'ps', '--format', '=', 'j'], '--format=json\\t\\n')).toEqual({
      asked: '<__complete><--><ps><--format=j>',
      reply: ['json'],
    });
    expect(completes(['gcsctl', 'ps', '--format', '='], '--format=json\\t\\n')).toEqual({
      asked: '<__complete><--><ps><--format=>',
      reply: ['json'],
    });
  });
});

it.each(['zsh', 'fish'] as const)('the script for %s asks for the words, too', (shell) => {
  expect(completionScripts[shell]).toContain('__complete -- ');
});
