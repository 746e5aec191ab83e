/** bin/gcs-oci when the agent, or a process that stands for a container's, ends before its time. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { untilProcessEnds } from '../../src/os/process-end.ts';
import { assertNothingLeft, takeCensus } from '../support/census.ts';
import { OciLab, type Side } from '../support/oci-lab.ts';
import { IMAGE, PodmanLab, RUN } from '../support/podman.ts';

const GCS = new URL('../../bin/gcs', import.meta.url).pathname;
const SUPERVISED = [GCS, '-supervise', '-transport', 'hybrid:{PATH}'];
const SLEEP = { args: ['sleep', '1000'] };

test('containers go on when the agent is killed: exit codes and output are exact', async () => {
  await using lab = await PodmanLab.start({ command: SUPERVISED });
  await lab.shell('mkdir /run/shared && mkfifo /run/shared/go');
  // Writes while the agent is killed, twice.
  const script =
    'seq 5; while [ ! -e /shared/last ]; do sleep 0.1; echo on; done; seq 5; read code </shared/go; exit $code';
  const volume = '--volume=/run/shared:/shared';
  const run = await lab.podman([...RUN, '-d', '--name=on', volume, IMAGE, 'sh', '-c', script]);
  expect(run.code, run.err).toBe(0);
  const ended = lab.podman(['wait', 'on']);
  await lab.replaceAgent();
  const [row] = JSON.parse((await lab.gcsOci(['list', '--format', 'json'])).out);
  expect(row.status).toBe('running');
  expect((await lab.podman(['exec', 'on', 'echo', 'in'])).out).toBe('in\n');
  await lab.replaceAgent();
  await lab.shell('touch /run/shared/last; echo 7 >/run/shared/go');
  expect((await ended).out).toBe('7\n');
  const { out } = await lab.podman(['logs', 'on']);
  expect(out).toMatch(/^1\n2\n3\n4\n5\n(on\n)+1\n2\n3\n4\n5\n$/);
  expect((await lab.podman(['rm', 'on'])).code).toBe(0);
  expect((await lab.gcsOci(['list', '-q'])).out).toBe('');
});

/** Kills what stands for a container, whose pid is in the pid file. */
async function killStandIn(side: Side, id: string): Promise<void> {
  const pid = side.lab.outerPid(side.pid(id));
  if (pid === undefined) throw new Error('nothing stands for it');
  process.kill(pid, 'SIGKILL');
  await untilProcessEnds(pid);
}

test('a container whose stand-in is killed can be killed and deleted', async () => {
  await using lab = await OciLab.start();
  const side = lab.side('gcs-oci');
  await side.run(['list']);
  const before = takeCensus({ agent: lab.agent, directories: [side.path('root')] });
  await side.started('on', side.bundle(SLEEP));
  await killStandIn(side, 'on');
  expect((await side.run(['state', 'on'])).out).toContain('"status": "running"');
  expect((await side.run(['exec', 'on', 'echo', 'in'])).out).toBe('in\n');
  expect((await side.run(['kill', 'on', 'KILL'])).code).toBe(0);
  expect((await side.run(['delete', '--force', 'on'])).code).toBe(0);

  const bundle = side.bundle(SLEEP);
  await side.run(['create', '--bundle', bundle, '--pid-file', side.path('made.pid'), 'made']);
  await killStandIn(side, 'made');
  expect((await side.run(['state', 'made'])).out).toContain('"status": "created"');
  const start = await side.run(['start', 'made']);
  expect(start.code).toBe(1);
  expect(start.reasons.join()).toMatch(/stands for it does not answer, delete it/);
  expect((await side.run(['delete', '--force', 'made'])).code).toBe(0);
  expect(readdirSync(side.path('root'))).toEqual([]);
  await assertNothingLeft(before);
});

test('without an agent each command says so and leaves nothing', async () => {
  await using lab = await OciLab.start();
  const side = lab.side('gcs-oci');
  const bundle = side.bundle(SLEEP);
  const nowhere = ['--agent', side.path('nobody')];
  const create = await side.run([...nowhere, 'create', '--bundle', bundle, 'one']);
  expect(create.code).toBe(1);
  expect(create.reasons.join()).toMatch(/nobody/);
  expect(readdirSync(join(side.directory, 'root'))).toEqual([]);
});

test('containers made, started and deleted leave nothing', { timeout: 300_000 }, async () => {
  await using lab = await OciLab.start();
  const side = lab.side('gcs-oci');
  const bundle = side.bundle({ args: ['true'] });
  const cycle = async (id: string): Promise<void> => {
    await side.started(id, bundle);
    await side.ended(id);
    await side.run(['delete', id]);
  };
  // What is made once and kept.
  await cycle('first');
  const before = takeCensus({ agent: lab.agent, directories: [side.path('root')] });
  for (let n = 0; n < 50; n += 1) await cycle(`c${n}`);
  expect(side.outcomes.filter(({ code }) => code !== 0)).toEqual([]);
  await assertNothingLeft(before);
});
