import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type RawAgent, startRawAgent } from '../support/agent-process.ts';
import { Session, useRootfs } from '../support/suite.ts';

useRootfs();

const AGENT = fileURLToPath(new URL('../../bin/gcs', import.meta.url));

/**
 * The agent as the child of a shell that lives on in its small machine and, after its end, writes
 * down what is left there: processes, state of the runtime and of the agent, bundles, mounts, cgroups.
 */
const LEAVINGS = `
"$0" -transport "hybrid:$1" </dev/null
echo "code $?" >"$1.left"
{
  for stat in /proc/[0-9]*/stat; do
    pid=\${stat#/proc/}; pid=\${pid%/stat}
    [ "$pid" = 1 ] || [ "$pid" = $$ ] || echo "process $(tr '\\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")"
  done
  for directory in /run/runc /run/gcsrunc /run/gcs/c; do
    [ ! -d $directory ] || ls $directory | sed "s,^,$directory/,"
  done
  for containers in /sys/fs/cgroup/containers /sys/fs/cgroup/*/containers; do
    [ ! -e $containers/cgroup.procs ] || find $containers -mindepth 1 -type d
  done
  grep -e gcs/c -e gcsrunc /proc/self/mountinfo || :
} >>"$1.left"
`;

async function startWatched(): Promise<RawAgent> {
  return await startRawAgent({ command: ['sh', '-c', LEAVINGS, AGENT, '{PATH}'] });
}

/** Ends the agent by SIGTERM, from within: it is its shell that the test sees as the agent. */
async function terminate(raw: RawAgent): Promise<string[]> {
  const killed = new Session(raw).execInUvm({ CommandArgs: ['sh', '-c', 'kill -TERM $PPID'] }, {});
  // The agent may end before it has answered; that it ends is what counts.
  await Promise.allSettled([killed, raw.agent.exited]);
  return readFileSync(join(raw.agent.directory, 'v.left'), 'utf8').trimEnd().split('\n');
}

test('SIGTERM with twenty containers running leaves nothing of them', async () => {
  await using raw = await startWatched();
  const s = new Session(raw);
  const ids = Array.from({ length: 20 }, (_, i) => `c${i}`);
  await Promise.all(
    ids.map(async (id, i) => {
      await s.create(id, {
        args: 'trap "" TERM; sleep 1000 & sleep 1000',
        terminal: i % 3 === 0,
        pidNamespace: i % 2 === 0 ? 'own' : 'none',
      });
      if (i % 5 !== 0) await s.startInit(id, i % 3 === 0 ? { stdout: true } : undefined);
      if (i % 4 !== 0) await s.sh(id, 'sleep 1000');
    }),
  );
  expect(await terminate(raw)).toEqual(['code 0']);
});

test('SIGTERM while containers are being created and started leaves nothing of them', async () => {
  await using raw = await startWatched();
  const s = new Session(raw);
  const all = Array.from({ length: 12 }, async (_, i) => {
    await s.create(`c${i}`, { args: ['sleep', '1000'] });
    await s.startInit(`c${i}`);
    await Promise.all([s.sh(`c${i}`, 'sleep 1000'), s.sh(`c${i}`, 'sleep 1000')]);
  });
  const settled = Promise.allSettled(all);
  // Some exist by then, some are under way, some wait for a processor.
  await s.create('first', { args: ['sleep', '1000'] });
  expect(await terminate(raw)).toEqual(['code 0']);
  await settled;
});

test('SIGTERM while the host reads none of the output ends the agent and its containers', async () => {
  await using raw = await startWatched();
  const s = new Session(raw);
  await s.create('stuck', { args: ['cat'] });
  await s.startInit('stuck', { stdin: true, stdout: true });
  await s.sh('stuck', 'while :; do echo line; done');
  expect(await terminate(raw)).toEqual(['code 0']);
});
