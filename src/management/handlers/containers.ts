import { setImmediate as nextTurn } from 'node:timers/promises';
import { allMetricsToJson } from '../../cgroup/json.ts';
import { AgentError } from '../../errors.ts';
import type {
  ContainerState,
  ContainerStats,
  CreateRequest,
  ManagementOperations,
} from '../../uvm/management.ts';
import type { Params, ResultInput } from '../contract.ts';
import type { Handlers } from './handler.ts';
import { claimStdio } from './stdio.ts';

type ContainerMethods =
  | 'container.list'
  | 'container.state'
  | 'container.inspect'
  | 'container.create'
  | 'container.start'
  | 'container.pause'
  | 'container.resume'
  | 'container.signal'
  | 'container.stop'
  | 'container.wait'
  | 'container.delete'
  | 'container.update'
  | 'container.processes'
  | 'container.stats'
  | 'container.checkpoint'
  | 'container.restore';

export function containerHandlers(
  operations: ManagementOperations,
): Pick<Handlers, ContainerMethods> {
  return {
    'container.list': async ({ status }) => {
      const all = await operations.list();
      const wanted = status === undefined ? all : all.filter((c) => status.includes(c.status));
      return { containers: wanted };
    },
    'container.state': ({ id }) => operations.state(id),
    'container.inspect': ({ id }) => operations.inspect(id),
    'container.create': (params, { signal }) => operations.create(params, { signal }),
    'container.start': async ({ id, stdio, ...options }, context) => {
      await operations.state(id); // Known before its streams are waited for.
      const streams = await claimStdio(stdio, context);
      return operations.start(id, { ...options, streams });
    },
    'container.pause': ({ id }) => operations.pause(id),
    'container.resume': ({ id }) => operations.resume(id),
    'container.signal': ({ id, ...options }) => operations.signal(id, options),
    'container.stop': ({ id, ...options }, { signal }) =>
      operations.stop(id, { ...options, signal }),
    'container.wait': ({ id, ...options }, { signal }) =>
      operations.wait(id, { ...options, signal }),
    'container.delete': async ({ id, ...options }) => {
      await operations.delete(id, options);
      return {};
    },
    'container.update': async ({ id, resources }) => {
      await operations.update(id, resources);
      return {};
    },
    'container.processes': async ({ id }) => ({ processes: await operations.processes(id) }),
    'container.stats': ({ ids }) => statistics(operations, ids),
    'container.checkpoint': async ({ id, ...request }, { signal }) => {
      await operations.checkpoint(id, request, { signal });
      return {};
    },
    'container.restore': async ({ stdio, ...request }, context) => {
      const streams = await claimStdio(stdio, context);
      const { signal } = context;
      return operations.restore({ ...(request satisfies CreateRequest), streams }, { signal });
    },
  };
}

type Statistics = ResultInput<'container.stats'>;

async function statistics(
  operations: ManagementOperations,
  ids: Params<'container.stats'>['ids'],
): Promise<Statistics> {
  const stats: Statistics['stats'][number][] = [];
  const all = ids ?? (await operations.list()).filter(isAlive).map(({ id }) => id);
  for (const [index, id] of all.entries()) {
    // Each is read at once, and many of them would keep everybody else waiting.
    if (index > 0) await nextTurn();
    const looked = operations.stats(id);
    const found = ids === undefined ? await unlessGone(looked) : await looked;
    if (found !== undefined) stats.push(toResult(found));
  }
  return { stats };
}

function isAlive({ status }: ContainerState): boolean {
  return status === 'running' || status === 'paused';
}

/** Undefined for a container that ended between the list and the look. */
async function unlessGone(looked: Promise<ContainerStats>): Promise<ContainerStats | undefined> {
  try {
    return await looked;
  } catch (error) {
    const gone =
      error instanceof AgentError &&
      (error.code === 'container-not-found' || error.code === 'container-not-running');
    if (!gone) throw error;
    return undefined;
  }
}

function toResult({ metrics, ...rest }: ContainerStats): Statistics['stats'][number] {
  return { ...rest, metrics: allMetricsToJson(metrics) };
}
