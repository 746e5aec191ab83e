import type { ManagementOperations } from '../../uvm/management.ts';
import { ManagementError } from '../errors.ts';
import type { Handlers } from './handler.ts';

export function logHandlers(
  operations: ManagementOperations,
): Pick<Handlers, 'logs.read' | 'logs.reopen'> {
  return {
    'logs.read': async () => {
      throw new ManagementError('not-supported', 'TBD');
    },
    'logs.reopen': async ({ containerId }) => {
      await operations.reopenLog(containerId);
      return {};
    },
  };
}
