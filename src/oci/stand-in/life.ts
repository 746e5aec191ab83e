import { createServer, type Server } from 'node:net';
import type { ManagedProcess, ManagementClient } from '../../client/management/index.ts';
import { OciError, reasonOf } from '../failure.ts';
import { readJsonLine, writeJsonLine } from '../json-line.ts';
import type { ControlReply, ControlRequest, StandInPlan } from './plan.ts';
import { forwardSignals } from './signals.ts';
import type { SteadyClient } from './steady-client.ts';
import { joinStreams, watchSize } from './streams.ts';

type PlanOf<K extends StandInPlan['kind']> = StandInPlan & { kind: K };

/** A process that is made. */
interface Life {
  /** Resolves with the exit code when all output was passed on. */
  readonly ended: Promise<number>;
}

export async function standForExec(agent: SteadyClient, plan: PlanOf<'exec'>): Promise<Life> {
  const { containerId, terminal, process } = plan;
  const client = await agent.current();
  const wanted = { stdin: true, stdout: true, stderr: !terminal };
  const started = await client.exec(containerId, { ...process, terminal }, wanted);
  return { ended: live(agent, started, terminal) };
}

/** Makes the container, and starts it when its control socket is asked to. */
export async function standForInit(agent: SteadyClient, plan: PlanOf<'init'>): Promise<Life> {
  const { containerId, bundle, terminal } = plan;
  const client = await agent.current();
  await client.call('container.create', {
    id: containerId,
    bundle,
    verbatim: true,
    pivot: plan.pivot,
    ...(plan.systemdCgroup ? { runtime: await systemdRuntime(client) } : {}),
  });
  let lived: Promise<number> | undefined;
  const server = serveStart(plan.controlSocket, async () => {
    const now = await agent.current();
    const wanted = { stdin: true, stdout: true, stderr: !terminal };
    lived = live(agent, await now.start(containerId, wanted), terminal);
  });
  const end = async (): Promise<number> => {
    try {
      // Also of one that is deleted without a start.
      const code = await agent.exitCode({ containerId, processId: 'init' });
      return (await lived) ?? code;
    } finally {
      server.close();
    }
  };
  return { ended: end() };
}

async function systemdRuntime(client: ManagementClient): Promise<string> {
  const { runtimes } = await client.call('runtime.list', {});
  const found = runtimes.find(({ cgroupManager }) => cgroupManager === 'systemd');
  if (found !== undefined) return found.name;
  throw new OciError('--systemd-cgroup: no runtime of the agent lets systemd make cgroups');
}

/** Joins a running process to ours, until its end. */
async function live(
  agent: SteadyClient,
  started: ManagedProcess,
  terminal: boolean,
): Promise<number> {
  const { containerId, processId } = started;
  const target = { containerId, processId };
  const drained = joinStreams(started);
  forwardSignals(async (signal) => {
    await (await agent.current()).call('process.signal', { ...target, signal });
  });
  if (terminal) {
    watchSize(async (size) => {
      await (await agent.current()).call('process.resize', { ...target, ...size });
    });
  }
  const code = await agent.exitCode(target);
  await drained;
  return code;
}

/** Carries out requests to start; one that failed may be tried again. */
function serveStart(path: string, start: () => Promise<void>): Server {
  const server = createServer(async (socket) => {
    socket.on('error', () => socket.destroy());
    const request = (await readJsonLine(socket)) as ControlRequest | undefined;
    if (request?.request !== 'start') {
      socket.destroy();
      return;
    }
    let reply: ControlReply = { done: true };
    try {
      await start();
    } catch (error) {
      reply = { error: reasonOf(error) };
    }
    writeJsonLine(socket, reply);
    socket.end();
  });
  return server.listen(path);
}
