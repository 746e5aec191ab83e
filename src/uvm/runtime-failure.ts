import { AgentError, type AgentErrorCode } from '../errors.ts';
import { RuntimeError, type RuntimeErrorCode } from '../runtime/runtime.ts';

const agentCode: Readonly<Record<RuntimeErrorCode, AgentErrorCode>> = {
  'not-found': 'container-not-found',
  'already-exists': 'container-exists',
  'invalid-id': 'invalid-container-id',
  'not-stopped': 'container-not-stopped',
  'still-running': 'container-not-stopped',
  'not-running': 'container-not-running',
  'already-running': 'failed',
  unavailable: 'failed',
  'not-supported': 'not-supported',
  other: 'failed',
};

/** Hosts know "not running" as the answer to a signal; an exec that comes too late just failed. */
function codeOf(operation: string, code: RuntimeErrorCode): AgentErrorCode {
  return operation === 'exec' && code === 'not-running' ? 'failed' : agentCode[code];
}

/** Runs a runtime operation; its RuntimeError becomes the AgentError with the same text. */
export async function runtimeFailure<T>(
  operation: string,
  containerId: string,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof RuntimeError) {
      throw new AgentError(codeOf(operation, error.code), error.message, {
        operation,
        containerId,
        cause: error,
      });
    }
    throw AgentError.from(error, { operation, containerId });
  }
}
