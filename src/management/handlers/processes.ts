import { randomBytes } from 'node:crypto';
import type { ManagementOperations } from '../../uvm/management.ts';
import { ManagementError } from '../errors.ts';
import type { Handlers } from './handler.ts';
import { claimStdio } from './stdio.ts';

type ProcessMethods = Extract<keyof Handlers, `process.${string}`>;

const INIT = 'init';

export function processHandlers(operations: ManagementOperations): Pick<Handlers, ProcessMethods> {
  return {
    'process.exec': async ({ containerId, processId, stdio, ...request }, context) => {
      await operations.state(containerId); // Known before its streams are waited for.
      const streams = await claimStdio(stdio, context);
      const id = processId ?? `exec-${randomBytes(6).toString('hex')}`;
      const { signal } = context;
      return operations.exec(containerId, { ...request, processId: id, streams }, { signal });
    },
    'process.execSync': ({ containerId, ...request }, { signal }) =>
      operations.execSync(containerId, request, { signal }),
    'process.attach': async ({ containerId, processId = INIT, stdio }, context) => {
      await operations.processState(containerId, processId);
      const streams = await claimStdio(stdio, context);
      await operations.attach(containerId, processId, streams);
      return operations.processState(containerId, processId);
    },
    'process.list': async ({ containerId }) => ({
      processes: await operations.listProcesses(containerId),
    }),
    'process.state': ({ containerId, processId = INIT }) =>
      operations.processState(containerId, processId),
    'process.spec': async ({ containerId, processId = INIT }) => {
      const { spec } = await operations.processState(containerId, processId);
      if (spec !== undefined) return { process: spec };
      throw new ManagementError('not-supported', `the spec of ${processId} is not known`, {
        containerId,
      });
    },
    'process.status': ({ containerId, processId = INIT }) =>
      operations.exitStatus(containerId, processId),
    'process.wait': ({ containerId, processId = INIT, ...options }, { signal }) =>
      operations.waitProcess(containerId, processId, { ...options, signal }),
    'process.signal': async ({ containerId, processId = INIT, ...options }) => {
      await operations.signal(containerId, { ...options, processId });
      return {};
    },
    'process.resize': async ({ containerId, processId = INIT, width, height }) => {
      await operations.resize(containerId, processId, { width, height });
      return {};
    },
    'process.closeStdin': async ({ containerId, processId = INIT }) => {
      await operations.closeStdin(containerId, processId);
      return {};
    },
    'process.delete': async ({ containerId, processId = INIT }) => {
      await operations.deleteProcess(containerId, processId);
      return {};
    },
  };
}
