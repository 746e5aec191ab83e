import { AgentError } from '../errors.ts';
import { RuntimeError } from '../runtime/runtime.ts';
import { SchemaError } from '../schema/schema.ts';
import { codeOf, ManagementError, type ManagementErrorData } from './errors.ts';

export interface Failure {
  readonly message: string;
  readonly data: ManagementErrorData;
  /** Nobody threw it on purpose: the log gets its stack. */
  readonly fault: boolean;
}

/** What a client is told of an error. */
export function failureOf(error: unknown): Failure {
  if (error instanceof ManagementError) {
    return { message: error.message, data: error.data, fault: false };
  }
  if (error instanceof SchemaError) {
    const { path: field } = error;
    const data = { code: 'invalid-argument' as const, ...(field === '' ? {} : { field }) };
    return { message: error.message, data, fault: false };
  }
  if (error instanceof AgentError) {
    const { message, field, containerId, errno } = error;
    const runtimeMessage = runtimeWords(error);
    const data = {
      code: codeOf(error.code),
      ...(field === undefined ? {} : { field }),
      ...(containerId === undefined ? {} : { containerId }),
      ...(errno === undefined ? {} : { errno }),
      ...(runtimeMessage === undefined ? {} : { runtimeMessage }),
    };
    return { message, data, fault: false };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { message, data: { code: 'internal' }, fault: true };
}

/** The runtime's own text, from wherever below the error it is. */
function runtimeWords(error: AgentError): string | undefined {
  let cause: unknown = error.cause;
  for (let depth = 0; depth < 8 && cause instanceof Error; depth += 1) {
    if (cause instanceof RuntimeError) return cause.runtimeMessage;
    cause = cause.cause;
  }
  return undefined;
}
