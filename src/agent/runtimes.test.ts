import { expect, test } from 'vitest';
import { parseRuntimes, type RuntimeFlags } from './runtimes.ts';

function parse(flags: Partial<RuntimeFlags>) {
  return parseRuntimes({
    runtime: 'runc',
    runtimes: '',
    'untrusted-runtime': '',
    'workload-trust': 'trusted',
    'cgroup-manager': 'cgroupfs',
    ...flags,
  });
}

test('without more the runtime of -runtime is the only one', () => {
  expect(parse({ runtime: '/opt/runc' })).toEqual({
    programs: new Map([['/opt/runc', '/opt/runc']]),
    untrusted: undefined,
    workloads: 'trusted',
    cgroupManager: 'cgroupfs',
  });
});

test('others have names, and one of them is for what is not trusted', () => {
  const choices = parse({
    runtimes: 'crun=/usr/bin/crun,kata=kata-runtime',
    'untrusted-runtime': 'kata',
    'workload-trust': 'untrusted',
    'cgroup-manager': 'systemd',
  });
  expect([...choices.programs]).toEqual([
    ['runc', 'runc'],
    ['crun', '/usr/bin/crun'],
    ['kata', 'kata-runtime'],
  ]);
  expect(choices).toMatchObject({
    untrusted: 'kata',
    workloads: 'untrusted',
    cgroupManager: 'systemd',
  });
});

test.each([
  [{ runtimes: 'crun' }, '-runtimes: "crun" is not NAME=PROGRAM'],
  [{ runtimes: 'a/b=crun' }, /not NAME=PROGRAM/],
  [{ runtimes: 'crun=' }, /not NAME=PROGRAM/],
  [{ runtimes: 'runc=crun' }, '-runtimes: runc is there twice'],
  [{ 'untrusted-runtime': 'kata' }, '-untrusted-runtime: kata is none of -runtimes'],
  [{ 'workload-trust': 'yes' }, '-workload-trust: "yes" is none of trusted, untrusted'],
  [{ 'cgroup-manager': 'v2' }, '-cgroup-manager: "v2" is none of cgroupfs, systemd'],
])('a mistake is told: %j', (flags, message) => {
  expect(() => parse(flags)).toThrow(message);
});
