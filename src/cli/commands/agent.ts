import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, rmSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { dirname } from 'node:path';
import { defineCommand } from '../command.ts';
import { CliError, EXIT_OK, exitCodeOfSignal } from '../exit-codes.ts';
import { DEFAULT_HOST_PATH, hostOptions, hostPath } from '../host-path.ts';
import { agentProgram } from '../installation.ts';
import { SignalWatch } from '../signals.ts';

export const agentCommand = defineCommand({
  name: 'agent',
  summary: 'run an agent on an emulated vsock until it is ended',
  usage: ['[OPTIONS] [-- AGENT-OPTIONS…]'],
  description: [
    'Starts bin/gcs in the foreground with -transport hybrid:PATH, for the other commands in other terminals. Ctrl-C ends it and its containers.',
    'It is supervised (bin/gcs -supervise): an agent that is killed is started again, and its containers go on with their streams. What outlives it is kept in PATH.run, so that there may be any number of agents, each on a PATH of its own.',
  ],
  options: {
    host: {
      ...hostOptions.host,
      help: `PATH of hybrid:PATH (default $GCSCTL_HOST, then ${DEFAULT_HOST_PATH})`,
    },
    runtime: { kind: 'text', value: 'NAME', help: 'OCI runtime (default runc)' },
    loglevel: { kind: 'text', value: 'LEVEL', help: 'log level (default info)' },
    supervise: { kind: 'flag', default: true, help: 'start the agent again when it dies' },
    logfile: { kind: 'text', value: 'FILE', help: 'log here instead of the terminal' },
  },
  examples: [
    ['agent', 'on the default path'],
    [
      'agent --host /tmp/vm/vsock --loglevel debug -- -log-format json',
      'with options of the agent',
    ],
  ],
  exitCodes: [['other', 'exit code of the agent, 128+N when signal N ended it']],
  async run(values, positionals, io) {
    const path = hostPath(values.host, io);
    const program = agentProgram(io.env);
    checkExecutable(program);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const args = ['-v4', '-transport', `hybrid:${path}`, '-loglevel', values.loglevel ?? 'info'];
    // A directory of its own also for what it keeps: two agents in one would take each other's containers.
    args.unshift(values.supervise ? `-supervise=${path}.run` : `-state-dir=${path}.run/state`);
    if (values.logfile !== undefined) args.push('-logfile', values.logfile);
    if (values.runtime !== undefined) args.push('-runtime', values.runtime);
    const host = path === DEFAULT_HOST_PATH ? '' : ` --host ${path}`;
    io.stderr.write(
      `Agent on hybrid:${path}; Ctrl-C ends it. From another terminal:\n` +
        `  gcsctl ping${host}\n` +
        `  gcsctl run --host ${path} --rootfs DIR -- /bin/sh -c 'echo hello'\n` +
        `  gcsctl ps -a${host}\n`,
    );
    const code = await foreground(program, [...args, ...positionals]);
    // One that ended in good order has ended its containers; what another left is for the next.
    if (code === EXIT_OK) rmSync(`${path}.run`, { recursive: true, force: true });
    return code;
  },
});

function checkExecutable(program: string): void {
  try {
    accessSync(program, constants.X_OK);
  } catch (cause) {
    throw new CliError(`${program} cannot be executed: run "npm run build"`, { cause });
  }
}

async function foreground(program: string, args: readonly string[]): Promise<number> {
  const child = spawn(program, args, { stdio: 'inherit' });
  // Keys reach the whole foreground group, the agent too; what only gcsctl got is passed on.
  using _signals = new SignalWatch((name) => {
    if (name !== 'SIGINT' && name !== 'SIGQUIT') child.kill(name);
  });
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  return signal === null ? (code ?? 0) : exitCodeOfSignal(osConstants.signals[signal]);
}
