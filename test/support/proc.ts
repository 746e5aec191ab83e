/** What the kernel says about processes, read from /proc. Shared by the census and the benchmark. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    // The process ended between two looks (ENOENT, ESRCH): that is an answer here.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

export interface ProcessEntry {
  pid: number;
  parent: number;
  state: string;
  command: string;
}

/** One process; undefined when there is none. */
export function processEntry(pid: number): ProcessEntry | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The name may hold spaces and parentheses: what follows the last one is unambiguous.
  const end = stat.lastIndexOf(')');
  const fields = stat.slice(end + 2).split(' ');
  return {
    pid,
    parent: Number(fields[1]),
    state: fields[0] ?? '?',
    command: stat.slice(stat.indexOf('(') + 1, end),
  };
}

/** All descendants of a process, zombies too. */
export function descendants(pid: number): ProcessEntry[] {
  const byParent = new Map<number, ProcessEntry[]>();
  for (const name of list('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const entry = processEntry(Number(name));
    if (!entry) continue;
    const siblings = byParent.get(entry.parent);
    if (siblings) siblings.push(entry);
    else byParent.set(entry.parent, [entry]);
  }
  const found: ProcessEntry[] = [];
  const queue = [pid];
  for (let parent = queue.pop(); parent !== undefined; parent = queue.pop()) {
    for (const child of byParent.get(parent) ?? []) {
      found.push(child);
      queue.push(child.pid);
    }
  }
  return found;
}

/** Pid of a process in its innermost pid namespace. */
export function innermostPid(pid: number): number | undefined {
  const line = read(`/proc/${pid}/status`)?.match(/^NSpid:\s+(.*)$/m)?.[1];
  return line === undefined ? undefined : Number(line.split(/\s+/).at(-1));
}

/** What each descriptor of a process points at: "socket:[123]", "/dev/null". */
export function descriptors(pid: number): Map<number, string> {
  const found = new Map<number, string>();
  for (const name of list(`/proc/${pid}/fd`)) {
    try {
      found.set(Number(name), readlinkSync(`/proc/${pid}/fd/${name}`));
    } catch (error) {
      // The descriptor of this very listing is gone by now.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return found;
}

/** Whether a descriptor was opened for reading alone; false when it is gone. See proc_pid_fdinfo(5). */
export function isReadOnly(pid: number, fd: number): boolean {
  const flags = read(`/proc/${pid}/fdinfo/${fd}`)?.match(/^flags:\s+(\d+)$/m)?.[1];
  return flags !== undefined && (Number.parseInt(flags, 8) & 0o3) === 0;
}

/** Name of each thread of a process. */
export function threads(pid: number): string[] {
  return list(`/proc/${pid}/task`).flatMap((tid) => {
    const name = read(`/proc/${pid}/task/${tid}/comm`);
    return name === undefined ? [] : [name.trim()];
  });
}

export interface Mount {
  point: string;
  /** "point (type source)". */
  text: string;
}

export function mounts(pid: number | 'self'): Mount[] {
  return (read(`/proc/${pid}/mountinfo`) ?? '')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [left = '', right = ''] = line.split(' - ');
      const point = left.split(' ')[4] ?? '?';
      const [type, source] = right.split(' ');
      return { point, text: `${point} (${type} ${source})` };
    });
}

/** Names in a directory, none when it does not exist. */
export function namesIn(directory: string): string[] {
  return list(directory);
}

export interface Memory {
  /** KiB. */
  rss: number;
  pss: number;
  /** Private_Clean + Private_Dirty. */
  private: number;
  /** Of no file: what could not be read again from one. */
  anonymous: number;
}

/** Memory of a process of this machine. */
export function memory(pid: number): Memory {
  return memoryOf(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
}

/** What /proc/PID/smaps_rollup says (proc(5)). */
export function memoryOf(text: string): Memory {
  const field = (name: string) => Number(text.match(new RegExp(`^${name}:\\s+(\\d+)`, 'm'))?.[1]);
  return {
    rss: field('Rss'),
    pss: field('Pss'),
    private: field('Private_Clean') + field('Private_Dirty'),
    anonymous: field('Anonymous'),
  };
}
