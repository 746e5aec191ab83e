/** The census of a guest: the same counts as census.ts, taken by a process of the VM itself. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Counts, leftoverCounts, tally } from './census.ts';

/** Runs a shell script in the VM as a child of the agent; resolves with its output. */
export type GuestShell = (script: string) => Promise<string>;

const STATE = '/run/runc /run/crun /run/gcsrunc /run/gcs/c /run/gcs/pods';

/** The parents that containers are put under are made once and stay. */
const KEPT_CGROUPS = /^\/sys\/fs\/cgroup(\/(containers|pods|gcs|gcs\/.*))?$/;

/** Node starts these once, when first needed, and keeps them. */
const KEPT_THREADS = /^(libuv-worker|node|MainThread|V8Worker|DelayedTaskSche|SignalInspector)$/;

const SCRIPT = `
echo "$$ $PPID"; echo @stat; cat /proc/[0-9]*/stat 2>/dev/null
echo @fd; ls -l /proc/$PPID/fd; echo @threads; cat /proc/$PPID/task/*/comm
echo @mounts; cat /proc/$PPID/mountinfo; echo @cgroups; find /sys/fs/cgroup -type d
echo @state; ls -A ${STATE} 2>/dev/null; true`;

/** What the guest holds now. */
export async function takeGuestCensus(shell: GuestShell): Promise<Counts> {
  const [head = '', ...parts] = (await shell(SCRIPT)).split(/^@/m);
  const [own = 0, agent = 0] = head.trim().split(' ').map(Number);
  const sections = new Map(
    parts.map((part) => {
      const [name = '', ...lines] = part.trimEnd().split('\n');
      return [name, lines] as const;
    }),
  );
  const lines = (name: string): string[] => sections.get(name) ?? [];
  const processes = lines('stat')
    .map(parseStat)
    // Of the kernel, of this census, and those it has in common with every other.
    .filter(({ pid, parent }) => ![pid, parent].some((each) => each === 2 || each === own));
  const living = (zombie: boolean) =>
    tally(
      processes
        .filter(({ state }) => (state === 'Z') === zombie)
        .map(({ command, parent }) => (parent === agent ? `${command} of the agent` : command)),
    );
  return {
    'zombies of the guest': living(true),
    'processes of the guest': living(false),
    'descriptors of the agent': tally(withoutKept(lines('fd')).flatMap(descriptorKind)),
    'threads of the agent': tally(lines('threads').filter((name) => !KEPT_THREADS.test(name))),
    'mounts of the agent': tally(lines('mounts').map((line) => line.split(' ')[4] ?? '')),
    cgroups: tally(lines('cgroups').filter((path) => !KEPT_CGROUPS.test(path))),
    state: tally(lines('state').filter((line) => line !== '' && !line.endsWith(':'))),
  };
}

function parseStat(line: string) {
  const end = line.lastIndexOf(')');
  const [state = '', parent = ''] = line.slice(end + 2).split(' ');
  const start = line.indexOf('(');
  return {
    pid: Number(line.slice(0, start)),
    command: line.slice(start + 1, end),
    state,
    parent: Number(parent),
  };
}

/** Without what census.ts too knows as opened once and kept. `ls -l` shows a mode for how a descriptor was opened. */
function withoutKept(lines: readonly string[]): string[] {
  const spare = lines.findIndex((line) => /^lr-x.* ([3-9]|\d\d+) -> \/dev\/null$/.test(line));
  const completed = lines.findIndex((line) => line.endsWith(' -> anon_inode:inotify'));
  return lines.filter((_, index) => index !== spare && index !== completed);
}

function descriptorKind(line: string): string[] {
  const target = / -> (.*)$/.exec(line)?.[1];
  if (target === undefined || target.startsWith('/proc/')) return [];
  return [target.replace(/^(socket|pipe):\[\d+\]$/, '$1').replace(/ \(deleted\)$/, '')];
}

/** Throws when the guest holds more than before; what is on its way out gets `settleMs`. */
export async function assertNothingLeftInGuest(
  before: Counts,
  shell: GuestShell,
  settleMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + settleMs;
  for (;;) {
    const left = leftoverCounts(before, await takeGuestCensus(shell));
    if (left.length === 0) return;
    if (performance.now() >= deadline) {
      throw new Error(`left behind in the guest:\n  ${left.join('\n  ')}`);
    }
    await delay(200);
  }
}
