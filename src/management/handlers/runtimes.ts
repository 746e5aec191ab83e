import type { ManagementOperations, ReadyCondition } from '../../uvm/management.ts';
import type { ResultInput } from '../contract.ts';
import { ManagementError } from '../errors.ts';
import type { Handlers } from './handler.ts';

type RuntimeMethods = Extract<keyof Handlers, `runtime.${string}`>;

export function runtimeHandlers(operations: ManagementOperations): Pick<Handlers, RuntimeMethods> {
  return {
    'runtime.list': async () => ({ runtimes: await operations.runtimes() }),
    'runtime.version': async ({ name }) => {
      const all = await operations.runtimes();
      const found = all.find((each) =>
        name === undefined ? each.default === 'trusted' : each.name === name,
      );
      if (found === undefined) {
        throw new ManagementError('not-supported', `no runtime ${JSON.stringify(name)}`, {
          field: 'name',
        });
      }
      if (found.version !== undefined) return { name: found.name, version: found.version };
      throw new ManagementError('failed', `${found.name}: ${found.error ?? 'cannot be run'}`);
    },
    'runtime.status': async () => {
      const conditions = await operations.conditions();
      return {
        runtimeReady: condition(conditions, 'RuntimeReady'),
        networkReady: condition(conditions, 'NetworkReady'),
      };
    },
  };
}

function condition(
  conditions: readonly ReadyCondition[],
  type: ReadyCondition['type'],
): ResultInput<'runtime.status'>['runtimeReady'] {
  const { status, reason, message } = conditions.find((each) => each.type === type) ?? {
    status: false,
  };
  return { ready: status, reason, message };
}
