import { AgentError } from '../../errors.ts';
import type { WindowSize } from '../../os/pty.ts';
import type { StdioPorts } from '../../stdio/stdio.ts';
import type { UvmProcessRequest } from '../../uvm/operations.ts';
import type { Request } from '../catalogue.ts';
import { INFINITE_TIMEOUT } from '../message-types.ts';
import { splitShellWords } from '../shell-words.ts';
import { type Handler, type HandlerDependencies, type Handlers, targetOf } from './handler.ts';

type Settings = Request<'ExecuteProcess'>['Settings'];
type Parameters = Settings['ProcessParameters'];

const parametersField = 'Settings.ProcessParameters';
/** vsock(7) VMADDR_PORT_ANY: no port that could be dialed. */
const ANY_PORT = 0xffffffff;
const SIGKILL = 9;
const MAX_SIGNAL = 64;

function invalid(field: string, problem: string, operation: string): AgentError {
  return new AgentError('invalid-argument', `${field}: ${problem}`, { operation, field });
}

/** The flags decide which streams there are; a port that is missing then is 0. */
function portsOf({ ProcessParameters, VsockStdioRelaySettings }: Settings): StdioPorts {
  const { CreateStdInPipe, CreateStdOutPipe, CreateStdErrPipe } = ProcessParameters;
  const { StdIn, StdOut, StdErr } = VsockStdioRelaySettings;
  const ports = {
    ...(CreateStdInPipe ? { stdin: StdIn } : {}),
    ...(CreateStdOutPipe ? { stdout: StdOut } : {}),
    ...(CreateStdErrPipe ? { stderr: StdErr } : {}),
  };
  if (Object.values(ports).includes(ANY_PORT)) {
    throw invalid('Settings.VsockStdioRelaySettings', `${ANY_PORT} is no port`, 'exec');
  }
  return ports;
}

function argumentsOf({ CommandArgs, CommandLine }: Parameters): string[] {
  const field = `${parametersField}.${CommandArgs.length > 0 ? 'CommandArgs' : 'CommandLine'}`;
  const args = CommandArgs.length > 0 ? CommandArgs : splitShellWords(CommandLine, field);
  if (args[0] === undefined || args[0] === '') throw invalid(field, 'there is no command', 'exec');
  return args;
}

function sizeOf({ ConsoleSize }: Parameters): WindowSize | undefined {
  if (ConsoleSize.length === 0) return undefined;
  const [height, width] = ConsoleSize;
  if (height !== undefined && width !== undefined && ConsoleSize.length === 2) {
    return { height, width };
  }
  throw invalid(`${parametersField}.ConsoleSize`, 'expected [height, width]', 'exec');
}

/** The kernel ends each of these texts at a NUL, so one inside would silently cut it. */
function checkNul(field: string, texts: readonly string[]): void {
  if (texts.some((text) => text.includes('\0'))) throw invalid(field, 'contains NUL', 'exec');
}

function uvmProcessOf(settings: Settings): UvmProcessRequest {
  const parameters = settings.ProcessParameters;
  const { WorkingDirectory, Environment, EmulateConsole } = parameters;
  const args = argumentsOf(parameters);
  checkNul(`${parametersField}.CommandArgs`, args);
  checkNul(`${parametersField}.WorkingDirectory`, [WorkingDirectory]);
  checkNul(`${parametersField}.Environment`, Object.entries(Environment).flat());
  for (const name of Object.keys(Environment)) {
    if (name === '' || name.includes('=')) {
      throw invalid(`${parametersField}.Environment`, `"${name}" is no name`, 'exec');
    }
  }
  const size = sizeOf(parameters);
  return {
    args,
    env: Environment,
    terminal: EmulateConsole,
    ports: portsOf(settings),
    ...(WorkingDirectory === '' ? {} : { cwd: WorkingDirectory }),
    ...(size === undefined ? {} : { size }),
  };
}

/** One message for three uses: a process of the VM, another process of a container, or its init. */
function execute({ uvm }: HandlerDependencies): Handler<'ExecuteProcess'> {
  return async ({ ContainerId, Settings }) => {
    const target = targetOf(ContainerId);
    const { CreateInUtilityVM, OciProcess } = Settings.ProcessParameters;
    if (target === null || CreateInUtilityVM) {
      return { ProcessId: await uvm.execInUvm(uvmProcessOf(Settings)) };
    }
    const ports = portsOf(Settings);
    const pid =
      OciProcess === undefined
        ? await uvm.startInit(target, ports)
        : await uvm.exec(target, OciProcess, ports);
    return { ProcessId: pid };
  };
}

function signalOf({ Options }: Request<'SignalProcess'>): number {
  const { Signal } = Options;
  if (Signal === 0) return SIGKILL;
  if (Signal > 0 && Signal <= MAX_SIGNAL) return Signal;
  throw invalid('Options.Signal', `${Signal} is not a signal number`, 'signal');
}

export function processHandlers({
  uvm,
  ...dependencies
}: HandlerDependencies): Pick<
  Handlers,
  'ExecuteProcess' | 'WaitForProcess' | 'SignalProcess' | 'ResizeConsole'
> {
  return {
    ExecuteProcess: execute({ uvm, ...dependencies }),
    WaitForProcess: async ({ ContainerId, ProcessId, TimeoutInMs }, { signal }) => {
      const timeoutMs = TimeoutInMs === INFINITE_TIMEOUT ? undefined : TimeoutInMs;
      return { ExitCode: await uvm.wait(targetOf(ContainerId), ProcessId, timeoutMs, signal) };
    },
    SignalProcess: async (request) => {
      await uvm.signal(targetOf(request.ContainerId), request.ProcessId, signalOf(request));
      return {};
    },
    ResizeConsole: async ({ ContainerId, ProcessId, Height, Width }) => {
      await uvm.resize(targetOf(ContainerId), ProcessId, { height: Height, width: Width });
      return {};
    },
  };
}
