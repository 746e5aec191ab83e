import assert from 'node:assert/strict';
import { AgentError } from '../../../src/errors.ts';

/** The AgentError that `action` is rejected with. */
export async function failure(action: () => Promise<unknown>): Promise<AgentError> {
  try {
    await action();
  } catch (error) {
    assert.ok(error instanceof AgentError, `no AgentError: ${String(error)}`);
    return error;
  }
  assert.fail('it did not fail');
}
