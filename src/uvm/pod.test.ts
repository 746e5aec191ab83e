import { expect, test } from 'vitest';
import { Pods } from './pod.ts';

const facts = { directory: '/d', hostNetwork: false };

function podWith(...workloads: string[]) {
  const pods = new Pods();
  const sandbox = pods.open('p', 'box', facts);
  sandbox.opened();
  const places = workloads.map((id) => pods.join('p', id));
  return { pods, sandbox, places };
}

test('a pod is found once its sandbox exists, and not after it has gone', () => {
  const pods = new Pods();
  expect(pods.find('p')).toBeUndefined();
  const sandbox = pods.open('p', 'box', facts);
  expect(() => pods.find('p')).toThrow(expect.objectContaining({ code: 'container-busy' }));
  sandbox.opened();
  expect(pods.find('p')).toMatchObject(facts);
  sandbox[Symbol.dispose]();
  expect(pods.find('p')).toBeUndefined();
  expect(() => pods.join('p', 'w')).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
});

test('a pod has one sandbox', () => {
  const { pods } = podWith();
  expect(() => pods.open('p', 'other', facts)).toThrow(
    expect.objectContaining({ code: 'container-exists', message: 'pod p has a sandbox: box' }),
  );
  expect(pods.isSandbox('box')).toBe(true);
  expect(pods.isSandbox('p')).toBe(false);
});

test('a sandbox does not leave before its containers, whose names it gives', () => {
  const { pods, sandbox, places } = podWith('a', 'b', 'c', 'd', 'e', 'f', 'g');
  expect(() => sandbox.leave()).toThrow(
    expect.objectContaining({
      code: 'container-not-stopped',
      message: 'sandbox box still has containers: a, b, c, d, e and 2 more',
    }),
  );
  // The refusal changed nothing.
  pods.join('p', 'h')[Symbol.dispose]();
  for (const place of places) place[Symbol.dispose]();
  sandbox.leave();
});

test('nobody joins a sandbox that is leaving, unless it stays after all', () => {
  const { pods, sandbox } = podWith();
  sandbox.leave();
  expect(() => pods.join('p', 'w')).toThrow(
    expect.objectContaining({ code: 'container-busy', message: 'sandbox box is being deleted' }),
  );
  sandbox.stay();
  pods.join('p', 'w');
  expect(pods.describe()).toEqual(['pods\n  p: sandbox box, containers: w']);
});
