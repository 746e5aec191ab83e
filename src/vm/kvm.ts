import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  constants,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ownArchitecture, type VmImage } from './image.ts';
import { type Acceleration, qemuProgram } from './qemu.ts';

/** A kernel under a KVM that works speaks within milliseconds. */
const FIRST_WORD_MS = 2_000;
/** Until it has looked for a root in vain, panicked and reset. */
const PANIC_MS = 8_000;

export interface KvmAnswer {
  readonly acceleration: Acceleration;
  /** Why not KVM, or how it was found out. */
  readonly reason: string;
}

/**
 * Whether KVM runs this very kernel. That /dev/kvm is there says little: nested in another
 * hypervisor it may start a guest and hang. So the kernel is booted without a root, which ends in a
 * panic; one that does not get there in time is run by QEMU itself. The answer holds until the next
 * boot of this machine and is kept in `cacheDirectory`.
 */
export async function chooseAcceleration(
  image: VmImage,
  cacheDirectory: string,
  signal?: AbortSignal,
): Promise<KvmAnswer> {
  if (image.architecture !== ownArchitecture()) {
    return { acceleration: 'tcg', reason: `${image.architecture} is not this machine’s processor` };
  }
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch (error) {
    return { acceleration: 'tcg', reason: `/dev/kvm: ${(error as NodeJS.ErrnoException).code}` };
  }
  const file = join(cacheDirectory, '.kvm.json');
  const key = cacheKey(image.kernel);
  const known = readCache(file);
  if (known?.key === key) return known.answer;
  const answer = await probe(image, signal);
  mkdirSync(cacheDirectory, { recursive: true, mode: 0o700 });
  writeFileSync(`${file}.${process.pid}`, JSON.stringify({ key, answer }));
  renameSync(`${file}.${process.pid}`, file);
  return answer;
}

function cacheKey(kernel: string): string {
  const { size, mtimeMs } = statSync(kernel);
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return `${boot} ${kernel} ${size} ${mtimeMs}`;
}

function readCache(file: string): { key: string; answer: KvmAnswer } | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as { key: string; answer: KvmAnswer };
  } catch {
    // Missing or half written: it is only a memory, and the probe tells again.
    return undefined;
  }
}

async function probe(image: VmImage, signal?: AbortSignal): Promise<KvmAnswer> {
  const child = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', qemuProgram(image.architecture)],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
      ...['-accel', 'kvm', '-cpu', 'host', '-m', '256M', '-kernel', image.kernel],
      ...['-append', 'console=ttyS0 earlyprintk=ttyS0 panic=-1'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let verdict: string | undefined;
  const giveUp = (reason: string) => () => {
    verdict ??= reason;
    child.kill('SIGKILL');
  };
  const firstWord = setTimeout(giveUp('the kernel says nothing under KVM'), FIRST_WORD_MS);
  const panic = setTimeout(giveUp('the kernel hangs under KVM'), PANIC_MS);
  const aborted = giveUp('interrupted');
  signal?.addEventListener('abort', aborted, { once: true });
  child.stdout.on('data', () => clearTimeout(firstWord));
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    signal?.throwIfAborted();
    if (verdict === undefined && code === 0) return { acceleration: 'kvm', reason: 'probed' };
    const reason = verdict ?? `QEMU refuses KVM: ${complaint.trim().split('\n')[0] ?? ''}`;
    return { acceleration: 'tcg', reason };
  } finally {
    clearTimeout(firstWord);
    clearTimeout(panic);
    signal?.removeEventListener('abort', aborted);
  }
}
