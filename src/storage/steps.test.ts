import { describe, expect, test } from 'vitest';
import { AgentError } from '../errors.ts';
import { type Applied, applySteps, type Step } from './steps.ts';

/** Steps that write down what is done; each can be told to fail. */
class Recorder {
  readonly log: string[] = [];
  readonly failing = new Set<string>();
  left: Applied | undefined;

  step(name: string): Step {
    const act = (what: string) => {
      if (this.failing.has(what)) throw new Error(`${what} failed`);
      this.log.push(what);
    };
    return {
      name,
      run: async (scope) => {
        act(`do ${name}`);
        scope.defer(() => this.log.push(`close ${name}`));
      },
      undo: async () => act(`undo ${name}`),
    };
  }

  apply(...names: string[]): Promise<Applied> {
    return applySteps(
      names.map((name) => this.step(name)),
      {
        onLeft: (left) => {
          this.left = left;
        },
      },
    );
  }
}

describe('applySteps', () => {
  test('in order, then undone in the other', async () => {
    const recorder = new Recorder();
    const applied = await recorder.apply('a', 'b');
    expect(recorder.log).toEqual(['do a', 'do b', 'close b', 'close a']);
    expect(applied.left).toEqual(['b', 'a']);
    await applied.undo();
    expect(recorder.log.slice(4)).toEqual(['undo b', 'undo a']);
    await applied.undo();
    expect(recorder.log).toHaveLength(6);
  });

  test('a failure undoes what was done, after what was open is closed', async () => {
    const recorder = new Recorder();
    recorder.failing.add('do c');
    await expect(recorder.apply('a', 'b', 'c', 'd')).rejects.toThrow(/^do c failed$/);
    expect(recorder.log.slice(2)).toEqual(['close b', 'close a', 'undo b', 'undo a']);
    expect(recorder.left).toBeUndefined();
  });

  test('what cannot be undone is handed over, and can be tried again', async () => {
    const recorder = new Recorder();
    recorder.failing.add('do c').add('undo a');
    const error = await recorder.apply('a', 'b', 'c').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(AgentError);
    expect((error as AgentError).message).toBe(
      'do c failed; and this could not be undone: a: undo a failed',
    );
    expect(recorder.left?.left).toEqual(['a']);
    recorder.failing.clear();
    await recorder.left?.undo();
    expect(recorder.log.at(-1)).toBe('undo a');
  });

  test('an undo that fails is the one the next undo begins with', async () => {
    const recorder = new Recorder();
    const applied = await recorder.apply('a', 'b', 'c');
    recorder.failing.add('undo c');
    await expect(applied.undo()).rejects.toThrow('undo c failed');
    expect(applied.touched).toBe(false);
    recorder.failing.clear();
    recorder.failing.add('undo a');
    await expect(applied.undo()).rejects.toThrow('undo a failed');
    expect(applied.touched).toBe(true);
    expect(applied.left).toEqual(['a']);
    recorder.failing.clear();
    await applied.undo();
    expect(recorder.log.filter((line) => line.startsWith('undo'))).toEqual([
      'undo c',
      'undo b',
      'undo a',
    ]);
  });
});
