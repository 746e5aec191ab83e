import { constants } from 'node:os';
import { AgentError } from '../errors.ts';
import type { RuntimeProcess } from '../runtime/runtime.ts';
import type { ConnectionSet } from '../stdio/connection-set.ts';
import type { StdioSession } from '../stdio/stdio.ts';
import type { StartedStreams } from './streams.ts';

/** A process whose streams cannot be set up is ended: nobody would ever know of it. */
export function relayOrKill(
  containerId: string,
  own: StartedStreams,
  connections: ConnectionSet,
  process: RuntimeProcess,
): StdioSession {
  try {
    return own.relay(connections);
  } catch (error) {
    process.signal(constants.signals.SIGKILL);
    throw AgentError.from(error, { operation: 'exec', containerId });
  }
}
