import { once } from 'node:events';
import { join } from 'node:path';
import { BridgeServer } from '../bridge/server.ts';
import type { RootLogger } from '../log/create-logger.ts';
import type { Logger } from '../log/logger.ts';
import { type DescriptorStore, InitDescriptorStore, noStore } from '../os/descriptor-store.ts';
import { takeFileLimit } from '../os/file-limit.ts';
import { InitChannel } from '../os/init-channel.ts';
import { Reaper } from '../os/reaper.ts';
import { closedDoor } from '../policy/closed-door.ts';
import { hasState } from '../state/left.ts';
import { InitPower } from '../uvm/init-power.ts';
import { EndAgent } from '../uvm/power.ts';
import { createTransport, parseTransport, type TransportChoice } from '../vsock/parse.ts';
import { TransportError } from '../vsock/transport.ts';
import { setCorePattern } from './core-dumps.ts';
import { openManagementDoor } from './door.ts';
import { type AgentFlags, parseAgentFlags, usage } from './flags.ts';
import { openLog } from './log.ts';
import { parseRuntimes, type RuntimeChoices } from './runtimes.ts';
import { UvmOpener } from './uvm-opener.ts';
import { agentVersion } from './version.ts';

/** Exit codes of the agent itself. */
const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

/** A wrong command line: the message is for the user, who is told of --help. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface Settings {
  flags: AgentFlags;
  transport: TransportChoice;
  runtimes: RuntimeChoices;
}

function readSettings(args: readonly string[]): Settings | 'help' {
  const flags = parseAgentFlags(args);
  if (flags === 'help') return 'help';
  const stance = flags['initial-policy-stance'];
  if (stance !== 'allow' && stance !== 'deny') {
    throw new UsageError(
      `-initial-policy-stance: ${JSON.stringify(stance)} is neither allow nor deny`,
    );
  }
  if (flags.management !== 'on' && flags.management !== 'off') {
    throw new UsageError(`-management: ${JSON.stringify(flags.management)} is neither on nor off`);
  }
  if (!flags.v4) throw new UsageError('-v4=false: this agent speaks no other protocol than v4');
  const runtimes = parseRuntimes(flags);
  return { flags, transport: parseTransport(flags.transport), runtimes };
}

function transportName(flags: AgentFlags): string {
  if (!flags['use-inouterr'] || flags.transport === 'stdio') return flags.transport;
  return `stdio, ${flags.transport} for the streams of processes`;
}

/** Runs the agent until it is told to end; resolves with its exit code. Never rejects. */
export async function agentMain(args: readonly string[]): Promise<number> {
  let settings: Settings | 'help';
  let log: RootLogger;
  try {
    settings = readSettings(args);
    if (settings === 'help') {
      process.stdout.write(usage);
      return EXIT.ok;
    }
    if (settings.flags.version) {
      process.stdout.write(`gcs ${agentVersion}\n`);
      return EXIT.ok;
    }
    log = openLog(settings.flags);
  } catch (error) {
    process.stderr.write(`gcs: ${error instanceof Error ? error.message : String(error)}\n`);
    process.stderr.write("Run 'gcs --help' for the flags.\n");
    return EXIT.usage;
  }
  try {
    await serve(settings, log);
    log.info('agent ends');
    return EXIT.ok;
  } catch (error) {
    log.error('agent failed', { error: error instanceof Error ? error.message : String(error) });
    return EXIT.failed;
  } finally {
    log.flush();
  }
}

async function serve(
  { flags, transport: choice, runtimes }: Settings,
  log: RootLogger,
): Promise<void> {
  const end = new AbortController();
  takeFileLimit();
  stopOnSignals(end, log);
  watchForFaults(log);
  log.info('agent starts', {
    version: agentVersion,
    pid: process.pid,
    transport: transportName(flags),
  });
  using init = InitChannel.fromEnvironment();
  // A supervisor keeps us alive on a machine that is not ours: nothing of that machine is our affair.
  const power = init?.ownsMachine === true ? new InitPower(init) : undefined;
  const inVm = power !== undefined;
  setCorePattern({ pattern: flags['core-dump-location'], ownMachine: inVm }, log);
  using reaper = Reaper.start();
  await using transport = createTransport(choice, {
    onDropped: (error) => log.warning('peer dropped', { error: error.message }),
    bridgeOnStdio: flags['use-inouterr'],
  });
  const store =
    init === undefined
      ? noStore
      : new InitDescriptorStore(init, (problem) =>
          log.warning('streams are not kept', { problem }),
        );
  const stateDirectory = stateDirectoryOf(flags['state-dir']);
  await using uvm = new UvmOpener({
    flags,
    runtimes,
    stateDirectory,
    store,
    transport,
    reaper,
    log,
    inVm,
    power: power ?? new EndAgent(() => end.abort()),
  });
  // A host is not to come before what an agent before this one has left is taken up.
  if (await isAnythingLeft(stateDirectory, store)) await uvm.open();
  const server = new BridgeServer({
    transport,
    uvm: async () => {
      const opened = await uvm.open();
      return flags['initial-policy-stance'] === 'deny' ? closedDoor(opened) : opened;
    },
    log,
    listen: flags.listen,
    once: flags['use-inouterr'] || choice.kind === 'stdio',
    // Init starts who was ready again at once, and others later each time.
    onNegotiated: () => {
      init?.request('ready').catch((error: unknown) => {
        log.warning('init does not know that the agent is ready', { error: String(error) });
      });
    },
  });
  try {
    // Shut again before what it leads to is taken down.
    await using _door = await openManagementDoor({ flags, transport, uvm, log, inVm });
    if (choice.kind === 'dev-null' && !flags['use-inouterr']) await noHost(end.signal, log);
    else await server.run(end.signal);
  } catch (error) {
    if (error instanceof TransportError) {
      throw new Error(`${error.message}. ${remedy(error, choice)}`, { cause: error });
    }
    throw error;
  }
}

/** Whether there is something to take up of an agent before this one. */
async function isAnythingLeft(
  stateDirectory: string | undefined,
  store: DescriptorStore,
): Promise<boolean> {
  if (stateDirectory !== undefined && hasState(stateDirectory)) return true;
  return (await store.names()).length > 0;
}

/** Undefined: nothing is kept. One agent a directory, so beside what its supervisor keeps for it. */
function stateDirectoryOf(flag: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  if (flag === 'off') return undefined;
  return flag === '' ? join(env.GCS_INIT_RUN ?? '/run/gcs', 'state') : flag;
}

/** A bridge that is swallowed would only be lost and made anew for ever. */
async function noHost(end: AbortSignal, log: Logger): Promise<void> {
  log.info('nobody will ask: the transport is dev-null');
  if (end.aborted) return;
  // A promise alone keeps no event loop alive.
  const alive = setInterval(() => {}, 2 ** 31 - 1);
  await once(end, 'abort');
  clearInterval(alive);
}

function remedy(error: TransportError, choice: TransportChoice): string {
  if (error.code === 'no-device') {
    return 'Without a vsock device use -transport hybrid:PATH.';
  }
  if (error.code === 'port-in-use') return 'Another agent listens there: end it first.';
  return choice.kind === 'hybrid' ? `Is ${choice.path} right?` : "See 'gcs --help' for transports.";
}

function stopOnSignals(end: AbortController, log: Logger): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      log.info('signal received, ending', { signal });
      end.abort();
    });
  }
}

/**
 * A fault nobody foresaw in one request must not take every container's agent with it: it is told
 * with its stack and the agent goes on. State is per container and per request, so there is no
 * shared invariant that such a fault leaves broken behind.
 */
function watchForFaults(log: Logger): void {
  const report = (kind: string) => (error: unknown) =>
    log.error(kind, {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  process.on('uncaughtException', report('uncaught exception'));
  process.on('unhandledRejection', report('unhandled rejection'));
}
