import { readFileSync } from 'node:fs';
import { readMembership } from '../cgroup/hierarchy.ts';
import { parseJson } from '../json.ts';
import { faultPoint } from '../os/fault-point.ts';
import type { KnownProcess } from '../os/known-process.ts';
import { processStartTime } from '../os/process.ts';
import { parseContainerId } from '../runtime/container-id.ts';
import type { ContainerId, LoadedContainer, RuntimeTakeover } from '../runtime/runtime.ts';
import { removeAdditions } from '../spec/bundle.ts';
import type { OciSpec } from '../spec/oci.ts';
import { ContainerRecord, ProcessRecord } from '../state/journal.ts';
import { type ContainerFacts, type ContainerProgress, endFrom } from '../state/records.ts';
import type { FoundContainer, FoundProcess } from '../state/recover.ts';
import type { CriLog } from '../stdio/cri-log.ts';
import type { OutputSettings } from '../stdio/output-stream.ts';
import { Container } from './container.ts';
import { rejoinNetwork } from './container-network.ts';
import type { RestoredContainer } from './container-parts.ts';
import { openDoorLog, removeUnusedLog } from './door-log.ts';
import type { GuestProcess } from './guest-process.ts';
import { AttachHub } from './management/attach-hub.ts';
import type { OwnProcess } from './management/own-process.ts';
import type { Recovery } from './recover.ts';
import { removeDirectory } from './remove-directory.ts';
import { lostStreams, restoreExec, resumeSession, watchEnd } from './restore-process.ts';
import type { StartedStreams } from './streams.ts';
import { Surroundings } from './surroundings.ts';

/** A container whose records could all be read. */
interface Known {
  readonly id: ContainerId;
  readonly found: FoundContainer;
  readonly facts: ContainerFacts;
  readonly record: ContainerRecord;
  readonly takeover: RuntimeTakeover;
}

/**
 * Brings one container back to where it was: half made it is undone, half deleted it is deleted,
 * and else it goes on. Rejects when it cannot; its records stay then.
 */
export async function restoreContainer(found: FoundContainer, recovery: Recovery): Promise<void> {
  const { facts, progress = asTheRuntimeSays(found, recovery) } = found;
  if (facts === undefined || progress === undefined) {
    throw new Error('its records cannot be read; it is left to the runtime');
  }
  const record = new ContainerRecord(
    recovery.journal,
    found.id,
    { ...progress },
    found.surroundings,
  );
  if (progress.phase === 'gone') {
    announceAgain(found.id, record, recovery);
    return;
  }
  const takeover = recovery.takeovers.get(facts.runtime);
  if (takeover === undefined) throw new Error(`runtime ${facts.runtime} cannot be asked for it`);
  const known = { id: parseContainerId(found.id), found, facts, record, takeover };
  if (progress.phase === 'creating' || progress.init === undefined) {
    await undoCreate(known, recovery);
    return;
  }
  const container = await goOn(known, progress.init, recovery);
  if (progress.phase !== 'deleting') return;
  await container.destroy();
  recovery.containers.delete(found.id);
  recovery.claims.release(found.id);
}

/** Its progress cannot be read: what lives is taken over as it is, so that it can be ended and deleted. */
function asTheRuntimeSays(
  { id, facts }: FoundContainer,
  { takeovers }: Recovery,
): ContainerProgress | undefined {
  if (facts === undefined) return undefined;
  const state = takeovers.get(facts.runtime)?.state(parseContainerId(id));
  const startTime = state === undefined ? undefined : processStartTime(state.pid);
  if (state === undefined || startTime === undefined) return undefined;
  const at = Date.parse(state.created);
  const createdAt = Number.isNaN(at) ? Date.now() : at;
  const membership = readMembership(state.pid);
  return {
    phase: state.status === 'created' ? 'created' : 'running',
    init: { pid: state.pid, startTime },
    createdAt,
    ...(membership === undefined ? {} : { membership }),
    ...(state.status === 'created' ? {} : { startedAt: createdAt }),
  };
}

function announceAgain(containerId: string, record: ContainerRecord, { exits }: Recovery): void {
  const { exit } = record.progress;
  if (exit === undefined) record.announced();
  else exits.emit({ containerId, ...exit, told: () => record.announced() });
}

/** Also when it is not known how far it came. */
async function undoCreate(known: Known, recovery: Recovery): Promise<void> {
  const { id, found, facts, record, takeover } = known;
  recovery.logger.info('undoing a create that was cut off', { containerId: id });
  const { bundle, since } = facts.named ?? { bundle: facts.bundle, since: undefined };
  await takeover.discard(id, { bundle, since });
  faultPoint(`${id} discarded`);
  await using surroundings = await Surroundings.restore(found.surroundings, { ...recovery, id });
  await surroundings[Symbol.asyncDispose]();
  faultPoint(`nothing is left around ${id}`);
  await removeBundle(facts, recovery);
  removeUnusedLog(facts.door);
  record.remove();
}

async function removeBundle(facts: ContainerFacts, { logger }: Recovery): Promise<void> {
  const { bundle, made } = facts;
  removeAdditions(made);
  await removeDirectory(bundle, made.directories.length > 0, logger);
}

async function goOn(
  known: Known,
  init: NonNullable<ContainerProgress['init']>,
  recovery: Recovery,
): Promise<Container> {
  const { id, found, facts, record, takeover } = known;
  const { progress } = record;
  const { logger, streams, exits, lifecycle, journal, end } = recovery;
  const spec = parseJson(readFileSync(found.specFile, 'utf8')) as OciSpec;
  const state = takeover.state(id);
  const started = wasStarted(progress, state?.status);
  const running = found.execs.filter(({ progress }) => progress.phase === 'running');
  const loaded = await takeover.load({
    id,
    bundle: facts.bundle,
    init: knownOf({ process: init, end: progress.end }),
    started,
    ownsPidNamespace: ownsPidNamespace(spec),
    membership: progress.membership,
    execs: running.map(({ progress }) => knownOf(progress)),
  });
  faultPoint(`${id} loaded`);
  if (progress.phase === 'starting') {
    if (started) record.running();
    else record.phase('created');
  }
  watchEnd(loaded.container.init, record);
  const surroundings = await Surroundings.restore(found.surroundings, { ...recovery, id });
  const criLog = reopenDoorLog(facts, recovery);
  faultPoint(`what is around ${id} is known`);
  const container = new Container(
    {
      spec,
      runtime: loaded.container,
      runtimeName: facts.runtime,
      initStreams: started ? lostStreams : await unstartedStreams(facts, criLog, recovery),
      place: surroundings.place,
      removeDirectories: async () => {
        await surroundings[Symbol.asyncDispose]();
        if (facts.scratch !== undefined) await removeDirectory(facts.scratch, false, logger);
        await removeBundle(facts, recovery);
      },
      door: facts.door,
      criLog,
      record,
      keeper: streams.keeper(facts.stdio),
      restored: await restored(known, loaded, running, { started, criLog }, recovery),
    },
    {
      streams,
      logger: recovery.logger.with({ containerId: id }),
      onExit: (exit) => exits.emit(exit),
      lifecycle,
      journal,
      signal: end,
    },
  );
  faultPoint(`${id} is there again`);
  recovery.containers.set(id, container);
  recovery.claims.claim(id, facts.bundle, facts.scratch);
  if (facts.network !== undefined) {
    await rejoinNetwork(facts.network, loaded.container.init, facts.resolver, recovery);
  }
  return container;
}

function knownOf(found: {
  readonly process?: NonNullable<ContainerProgress['init']>;
  readonly end?: ContainerProgress['end'];
}): KnownProcess {
  const { process, end } = found;
  if (process === undefined) throw new Error('its record names no process');
  return end === undefined ? process : { ...process, end: endFrom(end) };
}

/** A start that was under way has happened when the runtime says so. */
function wasStarted(progress: ContainerProgress, status: string | undefined): boolean {
  if (progress.phase === 'starting') return status !== 'created' && status !== 'creating';
  return progress.startedAt !== undefined;
}

/** As the runtime reads it: its own one is an entry without a path. */
function ownsPidNamespace(spec: OciSpec): boolean {
  const entry = spec.linux?.namespaces?.find(({ type }) => type === 'pid');
  return entry !== undefined && (entry.path ?? '') === '';
}

/** A log that cannot be opened again is told of; the container goes on without it. */
function reopenDoorLog({ door, id }: ContainerFacts, { logger }: Recovery): CriLog | undefined {
  try {
    return openDoorLog(door);
  } catch (error) {
    logger.error('a log is lost', { containerId: id, error: String(error) });
    return undefined;
  }
}

function outputTo(criLog: CriLog | undefined): OutputSettings {
  return criLog === undefined ? {} : { criLog, outliveHost: true };
}

async function unstartedStreams(
  { stdio, terminal }: ContainerFacts,
  criLog: CriLog | undefined,
  { streams, store, names }: Recovery,
): Promise<StartedStreams> {
  if (store?.available !== true) return lostStreams;
  return await streams.resumeUnstarted(stdio, { terminal, names, ...outputTo(criLog) });
}

async function restored(
  { id, facts, record, takeover }: Known,
  loaded: LoadedContainer,
  running: readonly FoundProcess[],
  { started, criLog }: { started: boolean; criLog: CriLog | undefined },
  recovery: Recovery,
): Promise<RestoredContainer> {
  const { createdAt = Date.now(), startedAt, endedBy } = record.progress;
  const execs: GuestProcess[] = [];
  const ofDoor: OwnProcess[] = [];
  for (const [index, process] of loaded.execs.entries()) {
    const { number, progress } = running[index] as FoundProcess;
    const name = `c/${id}/p/${number}.json`;
    const own = new ProcessRecord(
      recovery.journal,
      name,
      { ...progress },
      { known: true, of: record },
    );
    const { door } = progress;
    const hub = hubOf(door?.hub === true, progress.streams === 'terminal', false);
    faultPoint(`${id} gets back process ${number}`);
    const guest = await restoreExec(process, number, own, recovery, hub?.connections);
    if (door === undefined) execs.push(guest);
    else ofDoor.push({ processId: door.processId, spec: door.process, guest, hub });
  }
  const hub = hubOf(record.progress.hub === true, facts.terminal, facts.door?.openStdin === true);
  return {
    createdAt,
    startedAt: started ? (startedAt ?? createdAt) : undefined,
    paused: takeover.state(id)?.status === 'paused',
    session: started
      ? await resumeSession(facts.stdio, facts.terminal, recovery, {
          ...outputTo(criLog),
          ...(hub === undefined ? {} : { connections: hub.connections }),
        })
      : undefined,
    endedBy,
    execs,
    hub,
    ofDoor,
  };
}

/** Clients may attach again: the ends of those before went with their agent. */
function hubOf(had: boolean, terminal: boolean, stdin: boolean): AttachHub | undefined {
  if (!had) return undefined;
  return new AttachHub({ stdin: terminal || stdin, stdout: true, stderr: !terminal });
}
