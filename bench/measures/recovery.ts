import { connectManagement, type ManagementClient } from '../../src/client/management/index.ts';
import { descendants, namesIn } from '../../test/support/proc.ts';
import { negotiate } from '../../test/support/raw-flows.ts';
import { createOne, Door, removeOne, several } from '../door.ts';
import { atMost, type Figure, median } from '../figures.ts';
import type { MeasureContext } from '../subject.ts';

/** Pid of the agent below its supervisor. */
function agentOf(supervisor: number): number {
  const agent = descendants(supervisor).find(
    ({ pid, parent }) => parent === supervisor && namesIn(`/proc/${pid}/task`).length > 1,
  );
  if (agent === undefined) throw new Error('the supervisor has no agent');
  return agent.pid;
}

/** Throws when they are not listed as they were. */
async function requireAll(
  client: ManagementClient,
  pids: ReadonlyMap<string, number>,
): Promise<void> {
  const { containers } = await client.call('container.list', {});
  const right = containers.filter((each) => {
    return each.status === 'running' && each.pid === pids.get(each.id);
  });
  if (right.length !== pids.size || containers.length !== pids.size) {
    throw new Error(`${right.length} of ${pids.size} containers are listed right`);
  }
}

/** `kill -9` of an agent with 50 containers under its supervisor: until the next one is what it was. */
export async function measureRecovery(context: MeasureContext): Promise<Figure[]> {
  const count = context.quick ? 10 : 50;
  const { subject } = context;
  const supervised = { ...subject, command: [...subject.command, '-supervise'] };
  await using door = await Door.open({ ...context, subject: supervised });
  const { host, agent } = door.raw;
  let { bridge } = door.raw;
  let { client } = door;
  const made = await several(count, async (index) => {
    context.progress(`container ${index + 1} of ${count}`);
    const one = await createOne(client, context);
    await client.call('container.start', { id: one.id });
    return one;
  });
  const pids = new Map(made.map(({ id, pid }) => [id, pid]));
  const [negotiated, listed]: [number[], number[]] = [[], []];
  const rounds = context.quick ? 1 : 5;
  for (let round = 0; round < rounds; round += 1) {
    context.progress(`kill ${round + 1} of ${rounds}`);
    const killed = performance.now();
    process.kill(agentOf(agent.pid), 'SIGKILL');
    await bridge.closed;
    bridge = await agent.orExit(host.acceptBridge());
    await agent.orExit(negotiate(bridge));
    negotiated.push(performance.now() - killed);
    client.close();
    client = await connectManagement(host.path);
    await requireAll(client, pids);
    listed.push(performance.now() - killed);
  }
  await several(count, (index) => removeOne(client, made[index]?.id ?? ''));
  client.close();
  const figure = (name: string, label: string, value: number): Figure => ({
    name: `recovery.${count}.${name}`,
    label: `kill -9 with ${count} containers to ${label}, p50`,
    value,
    unit: 'ms',
    better: 'lower',
  });
  const value = median(negotiated);
  return [
    { ...figure('negotiated', 'negotiated', value), target: atMost(value, 1000, '≤ 1 s') },
    figure('listed', 'all listed right', median(listed)),
  ];
}
