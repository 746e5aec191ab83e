import { describe, expect, test } from 'vitest';
import { limitFiles } from './limits.ts';

const written = (resources: object, version: 1 | 2) =>
  Object.fromEntries(limitFiles({ ...resources }, version).map(({ name, value }) => [name, value]));

const all = {
  memory: { limit: 100, reservation: 50, swap: 150 },
  cpu: { shares: 1024, quota: 5000, period: 10_000, cpus: '0-1', mems: '0' },
  pids: { limit: 7 },
  hugepageLimits: [{ pageSize: '2MB', limit: 9_223_372_036_854_771_712n }],
  devices: [{ allow: true }],
};

test('limits are files of cgroup v1, memory before memory with swap', () => {
  expect(written(all, 1)).toEqual({
    'memory.limit_in_bytes': '100',
    'memory.soft_limit_in_bytes': '50',
    'memory.memsw.limit_in_bytes': '150',
    'cpu.shares': '1024',
    'cpu.cfs_period_us': '10000',
    'cpu.cfs_quota_us': '5000',
    'cpuset.cpus': '0-1',
    'cpuset.mems': '0',
    'pids.max': '7',
    'hugetlb.2MB.limit_in_bytes': '9223372036854771712',
  });
  const names = limitFiles(all, 1).map(({ name }) => name);
  expect(names.indexOf('memory.memsw.limit_in_bytes')).toBeGreaterThan(
    names.indexOf('memory.limit_in_bytes'),
  );
});

test('limits are files of cgroup v2, with what its words mean', () => {
  expect(written(all, 2)).toEqual({
    'memory.max': '100',
    'memory.low': '50',
    'memory.swap.max': '50',
    'cpu.weight': '39',
    'cpu.max': '5000 10000',
    'cpuset.cpus': '0-1',
    'cpuset.mems': '0',
    'pids.max': '7',
    'hugetlb.2MB.max': '9223372036854771712',
  });
});

test.each([
  [2, '1'],
  [1, '1'],
  [262_144, '10000'],
  [1_000_000, '10000'],
])('%i shares of v1 weigh %s in v2', (shares, weight) => {
  expect(written({ cpu: { shares } }, 2)).toEqual({ 'cpu.weight': weight });
});

test('no limit is written as each version writes it', () => {
  const none = { memory: { limit: -1, swap: -1 }, pids: { limit: -1 }, cpu: { quota: -1 } };
  expect(written(none, 1)).toMatchObject({ 'memory.limit_in_bytes': '-1', 'pids.max': 'max' });
  expect(written(none, 2)).toEqual({
    'memory.max': 'max',
    'memory.swap.max': 'max',
    'pids.max': 'max',
    'cpu.max': 'max 100000',
  });
});

test('what is not set is not written', () => {
  const unset = {
    memory: {},
    cpu: { shares: 0, quota: 0, period: 0, cpus: '' },
    pids: { limit: 0 },
  };
  expect(written(unset, 1)).toEqual({});
  expect(written(unset, 2)).toEqual({});
  expect(written({ memory: null, cpu: { shares: null } }, 1)).toEqual({});
});

describe('refused with its field', () => {
  test.each([
    ['memory.limit', { memory: { limit: '1' } }],
    ['memory.limit', { memory: { limit: 1.5 } }],
    ['memory.limit', { memory: { limit: -2 } }],
    ['memory.limit', { memory: { limit: 2n ** 64n } }],
    ['memory', { memory: [] }],
    ['cpu.shares', { cpu: { shares: -1 } }],
    ['cpu.cpus', { cpu: { cpus: '0\n1' } }],
    ['cpu.mems', { cpu: { mems: 1 } }],
    ['hugepageLimits', { hugepageLimits: {} }],
    ['hugepageLimits[0].pageSize', { hugepageLimits: [{ pageSize: '../x', limit: 1 }] }],
    ['hugepageLimits[0].limit', { hugepageLimits: [{ pageSize: '2MB' }] }],
  ])('%s', (field, resources) => {
    expect(() => limitFiles({ ...resources }, 1)).toThrow(
      expect.objectContaining({
        code: 'invalid-argument',
        field: `OciSpecification.linux.resources.${field}`,
      }),
    );
  });

  test('swap that v2 cannot tell from memory', () => {
    expect(() => limitFiles({ memory: { swap: 1 } }, 2)).toThrow(/needs a limit of memory/);
    expect(() => limitFiles({ memory: { swap: 1, limit: 2 } }, 2)).toThrow(/not be below/);
  });
});
