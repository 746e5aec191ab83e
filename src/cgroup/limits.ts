import { AgentError } from '../errors.ts';
import type { Integer, OciLinuxResources } from '../spec/oci.ts';

/** A limit as one file of a cgroup directory. */
export interface LimitFile {
  readonly controller: 'memory' | 'cpu' | 'cpuset' | 'pids' | 'hugetlb';
  readonly name: string;
  readonly value: string;
  /** Field of the request it came from, for errors. */
  readonly field: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** runtime-spec, config-linux.md "Memory": no limit. */
const unlimited = -1;
const uint64 = 0xffff_ffff_ffff_ffffn;

/**
 * The limits of OCI resources as files, in the order they are to be written: memory, cpu, cpusets,
 * pids and huge pages (runtime-spec, config-linux.md). What else there is, such as device rules, is
 * no limit of a pod. AgentError 'invalid-argument' names the field.
 */
export function limitFiles(
  resources: OciLinuxResources,
  version: 1 | 2,
  field = 'OciSpecification.linux.resources',
): LimitFile[] {
  return [
    ...memoryFiles(section(resources, 'memory', field), version, `${field}.memory`),
    ...cpuFiles(section(resources, 'cpu', field), version, `${field}.cpu`),
    ...cpusetFiles(section(resources, 'cpu', field), `${field}.cpu`),
    ...pidsFiles(section(resources, 'pids', field), `${field}.pids`),
    ...hugetlbFiles(resources.hugepageLimits, version, `${field}.hugepageLimits`),
  ];
}

function bad(field: string, why: string): AgentError {
  return new AgentError('invalid-argument', `${field}: ${why}`, { field });
}

function section(resources: OciLinuxResources, name: string, field: string): Fields {
  const value = resources[name] ?? {};
  if (typeof value === 'object' && !Array.isArray(value)) return value as Fields;
  throw bad(`${field}.${name}`, 'must be an object');
}

/** An integer, `unlimited` or above; undefined when it is missing, which null is too. */
function integer(fields: Fields, name: string, field: string): Integer | undefined {
  const value = fields[name] ?? undefined;
  if (value === undefined) return undefined;
  const whole = typeof value === 'bigint' || Number.isSafeInteger(value);
  if (whole && (value as Integer) >= unlimited && BigInt(value as Integer) <= uint64) {
    return value as Integer;
  }
  throw bad(`${field}.${name}`, 'must be an integer of at most 64 bits, not below -1');
}

function memoryFiles(memory: Fields, version: 1 | 2, field: string): LimitFile[] {
  const limit = integer(memory, 'limit', field);
  const reservation = integer(memory, 'reservation', field);
  const swap = integer(memory, 'swap', field);
  const file = (name: string, value: string, of: string): LimitFile => ({
    controller: 'memory',
    name,
    value,
    field: `${field}.${of}`,
  });
  if (version === 1) {
    return [
      ...(limit === undefined ? [] : [file('memory.limit_in_bytes', `${limit}`, 'limit')]),
      ...(reservation === undefined
        ? []
        : [file('memory.soft_limit_in_bytes', `${reservation}`, 'reservation')]),
      // Memory and swap together, so it can only follow the limit of memory.
      ...(swap === undefined ? [] : [file('memory.memsw.limit_in_bytes', `${swap}`, 'swap')]),
    ];
  }
  return [
    ...(limit === undefined ? [] : [file('memory.max', orMax(limit), 'limit')]),
    ...(reservation === undefined ? [] : [file('memory.low', orMax(reservation), 'reservation')]),
    ...(swap === undefined ? [] : [file('memory.swap.max', swapAlone(swap, limit, field), 'swap')]),
  ];
}

function orMax(value: Integer): string {
  return value === unlimited ? 'max' : `${value}`;
}

/** OCI's swap is that of v1, of memory and swap together; v2 limits swap alone. */
function swapAlone(swap: Integer, limit: Integer | undefined, field: string): string {
  if (swap === unlimited || limit === unlimited) return 'max';
  if (limit === undefined) throw bad(`${field}.swap`, 'needs a limit of memory');
  if (swap < limit) throw bad(`${field}.swap`, 'must not be below the limit of memory');
  return `${BigInt(swap) - BigInt(limit)}`;
}

function cpuFiles(cpu: Fields, version: 1 | 2, field: string): LimitFile[] {
  const shares = positive(cpu, 'shares', field);
  const quota = integer(cpu, 'quota', field);
  const period = positive(cpu, 'period', field);
  const file = (name: string, value: string, of: string): LimitFile => ({
    controller: 'cpu',
    name,
    value,
    field: `${field}.${of}`,
  });
  const effective = quota === 0 ? undefined : quota;
  if (version === 1) {
    return [
      ...(shares === undefined ? [] : [file('cpu.shares', `${shares}`, 'shares')]),
      ...(period === undefined ? [] : [file('cpu.cfs_period_us', `${period}`, 'period')]),
      ...(effective === undefined ? [] : [file('cpu.cfs_quota_us', `${effective}`, 'quota')]),
    ];
  }
  const bandwidth = effective !== undefined || period !== undefined;
  const max = effective === undefined ? 'max' : orMax(effective);
  return [
    ...(shares === undefined ? [] : [file('cpu.weight', weightOf(shares), 'shares')]),
    ...(bandwidth ? [file('cpu.max', `${max} ${period ?? 100_000}`, 'quota')] : []),
  ];
}

/** Zero is what a host writes for "not set". */
function positive(fields: Fields, name: string, field: string): Integer | undefined {
  const value = integer(fields, name, field);
  if (value === unlimited) throw bad(`${field}.${name}`, 'must not be negative');
  return value === undefined || BigInt(value) === 0n ? undefined : value;
}

/** 2..262144 onto 1..10000, as the runtimes do. */
function weightOf(shares: Integer): string {
  const bounded = Math.min(Math.max(Number(shares), 2), 262_144);
  return `${1 + Math.floor(((bounded - 2) * 9999) / 262_142)}`;
}

function cpusetFiles(cpu: Fields, field: string): LimitFile[] {
  const files: LimitFile[] = [];
  for (const of of ['cpus', 'mems'] as const) {
    const value = cpu[of] ?? '';
    if (value === '') continue;
    // cpuset(7), list format: nothing else can be meant, and the file takes many lines.
    if (typeof value !== 'string' || !/^[0-9,-]{1,4096}$/.test(value)) {
      throw bad(`${field}.${of}`, 'must be a list as in "0-3,7"');
    }
    files.push({ controller: 'cpuset', name: `cpuset.${of}`, value, field: `${field}.${of}` });
  }
  return files;
}

function pidsFiles(pids: Fields, field: string): LimitFile[] {
  const limit = integer(pids, 'limit', field);
  if (limit === undefined || limit === 0) return [];
  const value = orMax(limit);
  return [{ controller: 'pids', name: 'pids.max', value, field: `${field}.limit` }];
}

function hugetlbFiles(limits: unknown, version: 1 | 2, field: string): LimitFile[] {
  if (limits === undefined || limits === null) return [];
  if (!Array.isArray(limits)) throw bad(field, 'must be a list');
  return limits.map((item: unknown, index): LimitFile => {
    const { pageSize, limit } = (item ?? {}) as Fields;
    const path = `${field}[${index}]`;
    if (typeof pageSize !== 'string' || !/^[1-9][0-9]{0,5}[KMG]B$/.test(pageSize)) {
      throw bad(`${path}.pageSize`, 'must be a size as in "2MB"');
    }
    const value = integer({ limit }, 'limit', path);
    if (value === undefined) throw bad(`${path}.limit`, 'is missing');
    const name = `hugetlb.${pageSize}.${version === 1 ? 'limit_in_bytes' : 'max'}`;
    return { controller: 'hugetlb', name, value: `${value}`, field: path };
  });
}
