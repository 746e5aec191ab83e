import { type ExitStatus, exitCodeOf } from '../../os/process.ts';
import { signalName } from '../../os/signals.ts';
import type { OciProcess } from '../../spec/oci.ts';
import type { Container } from '../container.ts';
import type { GuestProcess } from '../guest-process.ts';
import type {
  CgroupInfo,
  ContainerInspection,
  ContainerState,
  ExitInfo,
  ProcessState,
} from '../management-types.ts';

/** How a process ended; undefined while it runs. */
export function exitOf(process: GuestProcess, oomKilled = false): ExitInfo | undefined {
  const { status, finishedAt } = process;
  if (status === undefined) return undefined;
  const reason = reasonOf(status, oomKilled);
  return {
    exitCode: exitCodeOf(status),
    ...(status.kind === 'signaled' ? { signal: status.signal } : {}),
    finishedAt: finishedAt ?? Date.now(),
    oomKilled,
    ...(reason === undefined ? {} : { reason }),
  };
}

function reasonOf(status: ExitStatus, oomKilled: boolean): string | undefined {
  if (oomKilled) return 'killed by the kernel for memory';
  if (status.kind === 'exited') return undefined;
  return `ended by ${signalName(status.signal)}${status.coreDumped ? ', core dumped' : ''}`;
}

/** How the container's init ended; undefined while it has not. */
export function containerExit(container: Container): ExitInfo | undefined {
  return exitOf(container.init, container.outOfMemoryEnd);
}

export function containerState(container: Container, logPath: string | undefined): ContainerState {
  const { init, spec, runtime } = container;
  const exit = containerExit(container);
  return {
    id: container.id,
    status: container.status,
    pid: init.running ? init.pid : 0,
    startTime: init.startTime,
    bundle: runtime.bundle,
    runtime: container.runtimeName,
    terminal: spec.process?.terminal === true,
    createdAt: container.createdAt,
    ...(container.startedAt === undefined ? {} : { startedAt: container.startedAt }),
    ...(exit === undefined ? {} : { exit }),
    annotations: { ...spec.annotations },
    ...(logPath === undefined ? {} : { logPath }),
  };
}

export function inspection(
  container: Container,
  logPath: string | undefined,
  processes: ProcessState[],
): ContainerInspection {
  const cgroup = cgroupInfo(container);
  return {
    ...containerState(container, logPath),
    spec: container.spec,
    mounts: [...(container.spec.mounts ?? [])],
    ...(cgroup === undefined ? {} : { cgroup }),
    processes,
  };
}

function cgroupInfo({ runtime }: Container): CgroupInfo | undefined {
  const { cgroup } = runtime;
  if (cgroup === undefined) return undefined;
  return {
    controllers: Object.fromEntries(cgroup.controllers),
    ...(cgroup.unified === undefined ? {} : { unified: cgroup.unified }),
  };
}

/** One process under a name of its own. */
export function processState(
  processId: string,
  process: GuestProcess,
  spec: OciProcess | undefined,
  oomKilled = false,
): ProcessState {
  const exit = exitOf(process, oomKilled);
  return {
    processId,
    status: process.running ? 'running' : 'stopped',
    pid: process.pid,
    startTime: process.startTime,
    terminal: spec?.terminal === true,
    ...(spec === undefined ? {} : { spec }),
    startedAt: process.startedAt,
    ...(exit === undefined ? {} : { exit }),
    streams: process.streams,
  };
}

/** init, which runs from the start of its container on. */
export function initState(container: Container): ProcessState {
  const { init, spec, startedAt, outOfMemoryEnd } = container;
  const { startedAt: _, ...state } = processState('init', init, spec.process, outOfMemoryEnd);
  return {
    ...state,
    ...(container.status === 'created' ? { status: 'starting' } : {}),
    ...(startedAt === undefined ? {} : { startedAt }),
  };
}
