import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../../cli/exit-codes.ts';
import type { OptionValues } from '../../cli/options.ts';
import type { ManagementClient } from '../../client/management/index.ts';
import { borrowTerminal } from '../../os/raw-terminal.ts';
import type { OciProcess } from '../../spec/oci.ts';
import { reachAgent } from '../agent.ts';
import { defineOciCommand } from '../command.ts';
import { OciError } from '../failure.ts';
import { checkProcess, readObject } from '../json-file.ts';
import { ContainerDirectory } from '../records.ts';
import { launchStandIn } from '../stand-in/launch.ts';
import { joinStreams, watchSize } from '../stand-in/streams.ts';

const options = {
  'console-socket': {
    kind: 'text',
    value: 'PATH',
    help: 'unix socket that takes the master of the terminal',
  },
  cwd: { kind: 'text', value: 'DIR', help: 'working directory in the container' },
  env: { kind: 'list', short: 'e', value: 'NAME=VALUE', help: 'an environment variable more' },
  tty: { kind: 'flag', short: 't', help: 'give it a terminal' },
  user: { kind: 'text', short: 'u', value: 'UID[:GID]', help: 'user and group' },
  'additional-gids': { kind: 'list', short: 'g', value: 'GID', help: 'a group more' },
  process: { kind: 'text', short: 'p', value: 'FILE', help: 'the process as an OCI object' },
  detach: { kind: 'flag', short: 'd', help: 'do not wait for its end' },
  'pid-file': { kind: 'text', value: 'FILE', help: 'write the pid here' },
  'process-label': { kind: 'text', value: 'LABEL', help: 'SELinux label' },
  apparmor: { kind: 'text', value: 'PROFILE', help: 'AppArmor profile' },
  'no-new-privs': { kind: 'flag', help: 'no new privileges' },
  cap: { kind: 'list', short: 'c', value: 'CAP', help: 'a capability more' },
  'preserve-fds': { kind: 'text', value: 'N', help: 'only 0: descriptors do not leave a machine' },
} as const;

const NO_CONSOLE = 'cannot use console socket if gcs-oci will not detach or allocate tty';

type Values = OptionValues<typeof options>;

export const execCommand = defineOciCommand({
  name: 'exec',
  summary: 'run another process in a container',
  usage: '[OPTIONS] ID COMMAND…',
  commandAt: 0,
  failure: { prefix: 'exec failed', code: 255 },
  words: { min: 1, max: Number.POSITIVE_INFINITY },
  options,
  async run(values, [id = '', ...args], globals) {
    if ((values['preserve-fds'] ?? '0') !== '0') {
      throw new OciError('--preserve-fds: descriptors cannot be passed to the agent');
    }
    const directory = new ContainerDirectory(globals.root, id);
    const record = directory.require();
    await using client = await reachAgent(record.agent);
    const process = await processOf(client, id, values, args);
    if (!values.detach) {
      if (values['console-socket'] !== undefined) throw new OciError(NO_CONSOLE);
      return await attached(client, id, process);
    }
    const terminal = process.terminal === true;
    if (terminal && values['console-socket'] === undefined)
      throw new OciError(
        'cannot allocate tty if gcs-oci will detach without setting console socket',
      );
    if (!terminal && values['console-socket'] !== undefined) throw new OciError(NO_CONSOLE);
    const scratch = scratchIn(directory.path);
    using _scratch = scratch;
    const { pid } = await launchStandIn({
      directory: scratch.path,
      consoleSocket: values['console-socket'],
      plan: { kind: 'exec', agent: record.agent, containerId: id, process, terminal },
    });
    if (values['pid-file'] !== undefined) writeFileSync(values['pid-file'], `${pid}`);
    return 0;
  },
});

/** A directory of its own for each exec: several may begin at a time. */
function scratchIn(directory: string): Disposable & { path: string } {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = mkdtempSync(join(directory, 'e'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Runs it with our own streams; resolves with its exit code. */
async function attached(client: ManagementClient, id: string, spec: OciProcess): Promise<number> {
  const terminal = spec.terminal === true;
  using stack = new DisposableStack();
  const onTerminal = terminal && process.stdin.isTTY;
  if (onTerminal) stack.defer(borrowTerminal());
  const started = await client.exec(id, spec, { stdin: true, stdout: true, stderr: !terminal });
  const joined = joinStreams(started);
  if (onTerminal) watchSize((size) => started.resize(size));
  const { exitCode } = await started.wait();
  await joined;
  return exitCode;
}

/** The process as the file says, else the container's own with what the options change. */
async function processOf(
  client: ManagementClient,
  id: string,
  values: Values,
  args: readonly string[],
): Promise<OciProcess> {
  if (values.process !== undefined) {
    const process = readObject<OciProcess>(values.process);
    checkProcess(process);
    return { ...process, terminal: values.tty || process.terminal === true };
  }
  if (args.length === 0) throw new OciError('process args cannot be empty');
  const { process: own } = await client.call('process.spec', { containerId: id });
  const changed: OciProcess = {
    ...own,
    args: [...args],
    terminal: values.tty,
    env: [...(own.env ?? []), ...values.env],
  };
  if (values.cwd !== undefined) changed.cwd = values.cwd;
  if (values['no-new-privs']) changed.noNewPrivileges = true;
  if (values.apparmor !== undefined) changed.apparmorProfile = values.apparmor;
  if (values['process-label'] !== undefined) changed.selinuxLabel = values['process-label'];
  const user = userOf(values);
  if (user !== undefined) changed.user = { ...own.user, ...user };
  if (values.cap.length > 0) changed.capabilities = withCapabilities(own, values.cap);
  return changed;
}

function userOf(values: Values): Record<string, unknown> | undefined {
  const gids = values['additional-gids'].map(gidOf);
  const more = gids.length === 0 ? {} : { additionalGids: gids };
  if (values.user === undefined) return gids.length === 0 ? undefined : more;
  const [uid = '', gid] = values.user.split(':', 2);
  return {
    uid: idOf('--user', uid),
    ...(gid === undefined ? {} : { gid: idOf('--user', gid) }),
    ...more,
  };
}

/** A number by the option's own nature: what is none is wrong usage. */
function gidOf(text: string): number {
  if (!/^\d{1,10}$/.test(text))
    throw new UsageError(`invalid value ${JSON.stringify(text)} for flag -g`);
  return Number(text);
}

function idOf(option: string, text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new OciError(`${option}: ${JSON.stringify(text)} is no id`);
  return Number(text);
}

/** To the sets that runc adds them to: ambient ones must be inheritable. */
function withCapabilities(own: OciProcess, more: readonly string[]): Record<string, unknown> {
  const sets = (own.capabilities ?? {}) as Record<string, string[] | undefined>;
  const names = ['bounding', 'effective', 'permitted'];
  if (sets.inheritable !== undefined) names.push('ambient');
  const added = names.map((set) => [set, [...new Set([...(sets[set] ?? []), ...more])]]);
  return { ...sets, ...Object.fromEntries(added) };
}
