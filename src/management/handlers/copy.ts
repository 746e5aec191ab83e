import type { ManagementOperations } from '../../uvm/management.ts';
import { ManagementError } from '../errors.ts';
import type { Handlers } from './handler.ts';

export function copyHandlers(
  _operations: ManagementOperations,
): Pick<Handlers, 'container.copyIn' | 'container.copyOut'> {
  return {
    'container.copyIn': async () => {
      throw new ManagementError('not-supported', 'TBD');
    },
    'container.copyOut': async () => {
      throw new ManagementError('not-supported', 'TBD');
    },
  };
}
