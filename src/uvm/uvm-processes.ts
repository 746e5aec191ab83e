import { statSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { hasCode, OsError } from '../os/errors.ts';
import type { Child, SpawnOptions } from '../os/process.ts';
import type { Reaper } from '../os/reaper.ts';
import type { Journal, ProcessRecord } from '../state/journal.ts';
import type { ConnectionSet } from '../stdio/connection-set.ts';
import type { StdioKeeper } from '../stdio/keeper.ts';
import type { StdioSession } from '../stdio/stdio.ts';
import { GuestProcess } from './guest-process.ts';
import type { UvmProcessRequest } from './operations.ts';
import { ProcessTable } from './process-table.ts';
import type { StreamFactory } from './streams.ts';

const SIGKILL = 9;

/** Processes of the VM itself, started by the host outside every container. */
export class UvmProcesses {
  readonly table: ProcessTable;
  readonly #reaper: Reaper;
  readonly #streams: StreamFactory;
  readonly #logger: Logger;
  readonly #journal: Journal;
  readonly #end: AbortSignal;

  /** @param end aborted when the agent ends: no process is started from then on */
  constructor(
    reaper: Reaper,
    streams: StreamFactory,
    logger: Logger,
    journal: Journal,
    end: AbortSignal,
  ) {
    this.#reaper = reaper;
    this.#streams = streams;
    this.#logger = logger;
    this.#journal = journal;
    this.#end = end;
    this.table = new ProcessTable((pid) =>
      logger.warning('exit status of a process nobody waited for is forgotten', { pid }),
    );
  }

  async start(request: UvmProcessRequest): Promise<number> {
    const options = checkedOptions(request);
    using _place = this.table.reserve();
    const number = this.#journal.nextNumber();
    // The streams of a process that has the connections itself need nobody to go on.
    const keeper = request.terminal ? this.#streams.keeper(number) : undefined;
    using connections = await this.#streams.dial(request.ports, keeper);
    this.#end.throwIfAborted();
    const record = this.#journal.createProcess(request.terminal ? 'terminal' : 'direct', number);
    try {
      const child = request.terminal
        ? this.#startOnTerminal(options, request, connections, record, keeper)
        : this.#startDirect(options, connections, record);
      this.#logEnd(child);
      await this.#streams.kept();
      return child.pid;
    } catch (error) {
      record.remove();
      throw error;
    }
  }

  /** One that an agent before this one has started. */
  restore(child: Child, session: StdioSession | undefined, record: ProcessRecord): void {
    this.table.add(new GuestProcess(child, session, record));
    this.#logEnd(child);
  }

  #logEnd(child: Child): void {
    void child.exited.then((status) =>
      this.#logger.debug('process of the VM exited', { pid: child.pid, status }),
    );
  }

  #startOnTerminal(
    options: Omit<SpawnOptions, 'stdio'>,
    request: UvmProcessRequest,
    connections: ConnectionSet,
    record: ProcessRecord,
    keeper: StdioKeeper | undefined,
  ): Child {
    using pty = this.#streams.openTerminal(request.size, keeper);
    const child = this.#spawn({ ...options, stdio: [], terminal: pty.path });
    try {
      const session = pty.relay(connections);
      record.running(child);
      this.table.add(new GuestProcess(child, session, record));
    } catch (error) {
      child.signal(SIGKILL);
      throw error;
    }
    return child;
  }

  /** The connections themselves are the process's descriptors: nothing is copied on the way. */
  #startDirect(
    options: Omit<SpawnOptions, 'stdio'>,
    connections: ConnectionSet,
    record: ProcessRecord,
  ): Child {
    using direct = this.#streams.direct(connections);
    const child = this.#spawn({ ...options, stdio: direct.stdio });
    record.running(child);
    this.table.add(new GuestProcess(child, direct, record));
    return child;
  }

  #spawn(options: SpawnOptions): Child {
    try {
      return this.#reaper.spawn(options);
    } catch (error) {
      throw new AgentError('failed', spawnFailureText(options.file, error), {
        operation: 'exec',
        field: 'CommandArgs[0]',
        ...(error instanceof OsError ? { errno: error.code } : {}),
        cause: error,
      });
    }
  }
}

/** The texts of the Go agent, which hosts show to their users. */
function spawnFailureText(file: string, error: unknown): string {
  const start = 'failed to call Start for external process:';
  if (hasCode(error, 'ENOENT')) {
    return file.includes('/')
      ? `${start} fork/exec ${file}: no such file or directory`
      : `${start} exec: ${JSON.stringify(file)}: executable file not found in $PATH`;
  }
  if (hasCode(error, 'EACCES')) return `${start} fork/exec ${file}: permission denied`;
  return `${start} fork/exec ${file}: ${error instanceof Error ? error.message : String(error)}`;
}

function checkedOptions(request: UvmProcessRequest): Omit<SpawnOptions, 'stdio'> {
  const [file] = request.args;
  if (file === undefined || file === '') {
    throw new AgentError('invalid-argument', 'CommandArgs: no command to run', {
      operation: 'exec',
      field: 'CommandArgs',
    });
  }
  const cwd = request.cwd === undefined || request.cwd === '' ? '/' : request.cwd;
  checkWorkingDirectory(cwd);
  return {
    file,
    args: request.args,
    env: Object.entries(request.env).map(([name, value]) => `${name}=${value}`),
    cwd,
    newSession: true,
  };
}

/** Looked at before the spawn, whose ENOENT would be taken for the program's. */
function checkWorkingDirectory(cwd: string): void {
  const stat = statSync(cwd, { throwIfNoEntry: false });
  if (stat?.isDirectory() !== true) {
    throw new AgentError(
      'failed',
      `failed to call Start for external process: chdir ${cwd}: ${stat === undefined ? 'no such file or directory' : 'not a directory'}`,
      { operation: 'exec', field: 'WorkingDirectory' },
    );
  }
}
