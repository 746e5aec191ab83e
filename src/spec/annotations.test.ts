import { describe, expect, test, vi } from 'vitest';
import { annotation, booleanAnnotation, parseContainerKind } from './annotations.ts';

const kind = (id: string, annotations?: Record<string, string>) =>
  parseContainerKind(id, annotations === undefined ? {} : { annotations });

describe('what a container is', () => {
  test('standalone without an annotation', () => {
    expect(kind('a')).toEqual({ kind: 'standalone' });
    expect(kind('a', { other: 'x' })).toEqual({ kind: 'standalone' });
  });

  test('a sandbox is its own pod, or the virtual one it is in', () => {
    expect(kind('a', { [annotation.containerType]: 'sandbox' })).toEqual({
      kind: 'sandbox',
      podId: 'a',
      virtual: false,
    });
    const annotations = {
      [annotation.containerType]: 'sandbox',
      [annotation.virtualPodId]: 'pod-1',
    };
    expect(kind('a', annotations)).toEqual({ kind: 'sandbox', podId: 'pod-1', virtual: true });
  });

  test('the container a virtual pod is named after is its sandbox, whatever its type says', () => {
    for (const type of ['container', 'sandbox', 'x']) {
      const annotations = { [annotation.containerType]: type, [annotation.virtualPodId]: 'a' };
      expect(kind('a', annotations)).toEqual({ kind: 'sandbox', podId: 'a', virtual: true });
    }
  });

  test('a workload belongs to the sandbox it names', () => {
    const annotations = {
      [annotation.containerType]: 'container',
      [annotation.sandboxId]: 'pod_1.x+y-z',
    };
    expect(kind('a', annotations)).toEqual({ kind: 'workload', sandboxId: 'pod_1.x+y-z' });
  });

  test.each(['x', '', 'Sandbox'])('the type %j is refused in the words hosts know', (type) => {
    expect(() => kind('a', { [annotation.containerType]: type })).toThrow(
      `unsupported 'io.kubernetes.cri.container-type': '${type}'`,
    );
  });

  test.each([
    undefined,
    '',
    '.',
    '..',
    '../other',
    'a/b',
    'a b',
    'x'.repeat(1025),
  ])('a workload with the sandbox id %j is refused', (sandboxId) => {
    const annotations = {
      [annotation.containerType]: 'container',
      ...(sandboxId === undefined ? {} : { [annotation.sandboxId]: sandboxId }),
    };
    expect(() => kind('a', annotations)).toThrow(/unsupported 'io\.kubernetes\.cri\.sandbox-id'/);
  });

  test('a virtual pod id that is no name is refused', () => {
    const annotations = {
      [annotation.containerType]: 'sandbox',
      [annotation.virtualPodId]: '../x',
    };
    expect(() => kind('a', annotations)).toThrow(/virtual-pod-id/);
  });
});

describe('a boolean annotation', () => {
  const read = (value: string | undefined, otherwise: boolean, warn = vi.fn()) =>
    booleanAnnotation(
      { annotations: value === undefined ? {} : { name: value } },
      'name',
      otherwise,
      warn,
    );

  test.each(['1', 't', 'T', 'true', 'TRUE', 'True'])('%s is true', (value) => {
    expect(read(value, false)).toBe(true);
  });

  test.each(['0', 'f', 'F', 'false', 'FALSE', 'False'])('%s is false', (value) => {
    expect(read(value, true)).toBe(false);
  });

  test.each(['', 'yes', 'tRUE', ' true', '2'])('%j is warned of and ignored', (value) => {
    const warn = vi.fn();
    expect(read(value, true, warn)).toBe(true);
    expect(read(value, false, warn)).toBe(false);
    expect(warn).toHaveBeenCalledTimes(2);
    expect(warn).toHaveBeenCalledWith(expect.any(String), { annotation: 'name', value });
  });

  test('a missing one is the default, without a word', () => {
    const warn = vi.fn();
    expect(read(undefined, true, warn)).toBe(true);
    expect(warn).not.toHaveBeenCalled();
  });

  test('a name every object inherits is no annotation', () => {
    expect(booleanAnnotation({ annotations: {} }, 'constructor', false, vi.fn())).toBe(false);
  });
});
