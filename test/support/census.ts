/**
 * The census: what a test process and its agent hold, counted before and after a test. Anything
 * more afterwards is a leak and is named.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { cgroupsBelow, ownCgroups } from './cgroup-tree.ts';
import {
  descendants,
  descriptors,
  isReadOnly,
  mounts,
  namesIn,
  processEntry,
  threads,
} from './proc.ts';

/** The part of an agent the census looks at; AgentProcess is one. */
export interface CensusSubject {
  /** Pid of the agent as this process sees it. */
  readonly pid: number;
  /** Its cgroup in every hierarchy; the census looks below. */
  readonly cgroups: readonly string[];
}

export interface CensusScope {
  /** Also count what this agent holds, and look for state and mounts as it sees them. */
  agent?: CensusSubject;
  /** Temporary directories whose entries count. */
  directories?: readonly string[];
  /**
   * Count only the processes, descriptors and threads of the test itself: for unit tests, which run
   * beside others that mount and make cgroups.
   */
  only?: 'process';
  /** Directories below the machine's cgroups to watch when there is no isolated agent. */
  cgroups?: readonly string[];
}

/** Subject to the things counted, each by name with its number. */
export type Counts = Record<string, Map<string, number>>;

export interface Census {
  readonly scope: CensusScope;
  readonly counts: Counts;
}

/**
 * Where runtimes and the agent keep state of containers. Not /run/gcs/state/p: the exit code of a
 * process of the VM is kept until somebody asks for it, and a bounded number of them for good.
 */
const STATE_DIRECTORIES = [
  '/run/runc',
  '/run/crun',
  '/run/gcsrunc',
  '/run/gcs/c',
  '/run/gcs/pods',
  '/run/gcs/state/c',
  '/run/gcs/state/storage',
];

/**
 * Threads that a Node process starts once, when first needed, and keeps: its pool of at most four
 * and the engine's own. They say nothing about a leak.
 */
const KEPT_THREADS =
  /^(libuv-worker|node|MainThread|V8Worker|DelayedTaskSche|SignalInspector|vitest.*)$/;

export function tally(names: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** Inode numbers differ from one socket to the next; how many sockets there are should not. */
function kindOf(target: string): string {
  return target.replace(/^(socket|pipe):\[\d+\]$/, '$1').replace(/ \(deleted\)$/, '');
}

/**
 * Descriptors that an agent opens once, when first needed, and keeps: libuv's of /dev/null, to have
 * one to spare, with the first of its streams, and what tells of completed files (src/os/completed-file.ts).
 */
function withoutKept(pid: number, open: ReadonlyMap<number, string>): Map<number, string> {
  const left = new Map(open);
  const spare = [...open].find(
    ([fd, target]) => target === '/dev/null' && fd > 2 && isReadOnly(pid, fd),
  );
  const completed = [...open].find(([, target]) => target === 'anon_inode:inotify');
  for (const kept of [spare, completed]) if (kept !== undefined) left.delete(kept[0]);
  return left;
}

function descriptorKinds(open: ReadonlyMap<number, string>): string[] {
  return [...open.values()].filter((target) => !target.startsWith('/proc/')).map(kindOf);
}

function countProcesses(counts: Counts, root: number, who: string): void {
  const below = descendants(root);
  counts[`zombies of ${who}`] = tally(
    below.filter((entry) => entry.state === 'Z').map((entry) => entry.command),
  );
  counts[`processes of ${who}`] = tally(
    below.filter((entry) => entry.state !== 'Z').map((entry) => entry.command),
  );
}

function countHeld(
  counts: Counts,
  pid: number,
  who: string,
  open: ReadonlyMap<number, string> = descriptors(pid),
): void {
  counts[`descriptors of ${who}`] = tally(descriptorKinds(open));
  counts[`threads of ${who}`] = tally(threads(pid).filter((name) => !KEPT_THREADS.test(name)));
}

/** Counts everything in scope now. */
export function takeCensus(scope: CensusScope = {}): Census {
  const counts: Counts = {};
  countProcesses(counts, process.pid, 'the test');
  countHeld(counts, process.pid, 'the test');
  if (scope.only === 'process') return { scope, counts };
  counts.mounts = tally(mounts('self').map((mount) => mount.text));
  const { agent } = scope;
  // An agent that has ended holds nothing: its namespaces and all in them are gone with it.
  const alive = agent !== undefined && processEntry(agent.pid) !== undefined;
  if (agent && alive) {
    countProcesses(counts, agent.pid, 'the agent');
    countHeld(counts, agent.pid, 'the agent', withoutKept(agent.pid, descriptors(agent.pid)));
    counts['mounts of the agent'] = tally(mounts(agent.pid).map((mount) => mount.text));
    for (const directory of STATE_DIRECTORIES) {
      counts[`state in ${directory}`] = tally(namesIn(join(`/proc/${agent.pid}/root`, directory)));
    }
  } else if (!agent) {
    for (const directory of STATE_DIRECTORIES) {
      counts[`state in ${directory}`] = tally(namesIn(directory));
    }
  }
  const trees = agent?.cgroups ?? scope.cgroups ?? ownCgroups();
  // The parents that containers are put under are made once and stay, as in a VM.
  const kept = new Set(
    trees.flatMap((tree) => [join(tree, 'containers'), join(tree, 'pods'), join(tree, 'gcs')]),
  );
  counts.cgroups = tally(cgroupsBelow(trees).filter((path) => !kept.has(path)));
  for (const directory of scope.directories ?? []) {
    counts[`files in ${directory}`] = tally(namesIn(directory));
  }
  return { scope, counts };
}

/** What the second count has more than the first, as lines for a person. */
export function leftovers(before: Census, after: Census): string[] {
  return leftoverCounts(before.counts, after.counts);
}

export function leftoverCounts(before: Counts, after: Counts): string[] {
  const lines: string[] = [];
  for (const [subject, now] of Object.entries(after)) {
    const then = before[subject] ?? new Map<string, number>();
    for (const [name, count] of now) {
      const more = count - (then.get(name) ?? 0);
      if (more > 0) lines.push(`${subject}: ${more} × ${name}`);
    }
  }
  return lines;
}

/**
 * Throws when anything is left that was not there before. What is on its way out (a descriptor
 * closed one turn of the agent's event loop after its last reply, a process the kernel is still
 * taking apart) gets `settleMs`: no kernel event tells when another process has closed something,
 * so this looks again until then.
 */
export async function assertNothingLeft(
  before: Census,
  options: { settleMs?: number } = {},
): Promise<void> {
  const deadline = performance.now() + (options.settleMs ?? 5_000);
  for (;;) {
    const left = leftovers(before, takeCensus(before.scope));
    if (left.length === 0) return;
    if (performance.now() >= deadline) {
      throw new Error(`left behind:\n  ${left.join('\n  ')}`);
    }
    await delay(20);
  }
}
