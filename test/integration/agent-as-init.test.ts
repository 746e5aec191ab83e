import { expect, test } from 'vitest';
import { NULL_CONTAINER } from '../support/raw-client.ts';
import { useRootfs, withSession } from '../support/suite.ts';

useRootfs();

test('as PID 1 the agent runs containers, execs and VM processes with exact codes', () =>
  withSession(
    async (s) => {
      expect(await s.uvmSh('cat /proc/1/cmdline | tr "\\0" " "')).toContain('build/');
      await s.create('init', { args: 'cat; exit 17' });
      const init = await s.startInit('init', { stdin: true, stdout: true });
      const inside = await s.sh('init', 'exit 23');
      expect((await s.finish('init', inside)).exitCode).toBe(23);
      const outside = await s.execInUvm({ CommandArgs: ['sh', '-c', 'exit 29'] });
      expect((await s.finish(NULL_CONTAINER, outside)).exitCode).toBe(29);
      init.stdin?.end('x');
      expect(await s.finish('init', init)).toMatchObject({ exitCode: 17, stdout: 'x' });
      await s.delete('init');
    },
    { asInit: true },
  ));

test.each([false, true])('orphans of VM processes are collected (as PID 1: %s)', (asInit) =>
  withSession(
    async (s) => {
      // Each shell starts a child in the background and ends: the child becomes the agent's.
      const script = 'for i in 1 2 3 4 5; do (sleep 0.1 & ) ; done; exec echo done';
      for (let i = 0; i < 20; i++) expect(await s.uvmSh(script)).toBe('done\n');
      // The census at the end finds any zombie.
    },
    { asInit },
  ));
