import { defaultDrainPolicy } from '../stdio/limits.ts';
import { type FlagValues, formatFlags, parseFlags } from './go-flags.ts';

const MiB = 1024 * 1024;

/** Names are a contract: those of the Go agent, then ours. */
export const agentFlagSpecs = {
  v4: {
    kind: 'boolean',
    default: true,
    help: 'speak protocol v4, the only one there is',
  },
  loglevel: {
    kind: 'string',
    default: 'info',
    placeholder: 'LEVEL',
    help: 'trace, debug, info, warning, error',
  },
  logfile: {
    kind: 'string',
    default: '',
    placeholder: 'PATH',
    help: 'log to this file instead of standard error',
  },
  'log-format': { kind: 'string', default: 'text', placeholder: 'FORMAT', help: 'text or json' },
  'use-inouterr': {
    kind: 'boolean',
    default: false,
    help: 'the bridge on stdin and stdout, the log on stderr; the streams of processes over -transport',
  },
  'core-dump-location': {
    kind: 'string',
    default: '',
    placeholder: 'PATTERN',
    help: 'kernel core pattern, core(5); only in a VM under our init',
  },
  kmsgLogLevel: {
    kind: 'integer',
    default: 4,
    placeholder: 'N',
    help: 'taken for compatibility; kernel messages are not logged',
  },
  'root-mem-reserve-bytes': {
    kind: 'integer',
    default: 75 * MiB,
    placeholder: 'BYTES',
    help: 'memory kept from the containers; only in a VM under our init',
  },
  'gcs-mem-limit-bytes': {
    kind: 'integer',
    // What runs the agent is part of it: Node's program alone is 50 MiB of file pages.
    default: 128 * MiB,
    placeholder: 'BYTES',
    help: 'memory of the agent above which it warns; only in a VM under our init',
  },
  'manage-memory': {
    kind: 'boolean',
    default: false,
    help: "limit the memory of /pods and watch that of the agent also where PID 1 is not our init: for a machine that is the agent's own",
  },
  'disable-time-sync': {
    kind: 'boolean',
    default: false,
    help: 'taken for compatibility; the agent never sets the clock',
  },
  'scrub-logs': { kind: 'boolean', default: true, help: 'keep secrets out of the log' },
  'initial-policy-stance': {
    kind: 'string',
    default: 'allow',
    placeholder: 'STANCE',
    help: 'allow or deny: deny refuses every request that would start or change something',
  },
  transport: {
    kind: 'string',
    default: 'vsock',
    placeholder: 'KIND',
    help: 'vsock, hybrid:PATH, stdio or dev-null',
  },
  listen: {
    kind: 'boolean',
    default: false,
    help: 'wait for the host on guest port 0x40000000 instead of dialing it',
  },
  runtime: {
    kind: 'string',
    default: 'runc',
    placeholder: 'NAME_OR_PATH',
    help: 'OCI runtime to run containers with',
  },
  runtimes: {
    kind: 'string',
    default: '',
    placeholder: 'NAME=PROGRAM,…',
    help: 'more OCI runtimes, which clients of the management door can choose by name',
  },
  'untrusted-runtime': {
    kind: 'string',
    default: '',
    placeholder: 'NAME',
    help: 'which of -runtimes containers run under that are not to be trusted',
  },
  'workload-trust': {
    kind: 'string',
    default: 'trusted',
    placeholder: 'LEVEL',
    help: 'trusted or untrusted: where containers run that are trusted and not privileged',
  },
  'cgroup-manager': {
    kind: 'string',
    default: 'cgroupfs',
    placeholder: 'KIND',
    help: 'cgroupfs or systemd: who makes the cgroups of containers',
  },
  management: {
    kind: 'string',
    default: 'on',
    placeholder: 'on|off',
    help: 'serve the management door on guest ports 0x40000001 and 0x40000002; off also by the kernel argument gcs.management=off in a VM under our init, and by the stance deny',
  },
  'drain-timeout': {
    kind: 'integer',
    default: defaultDrainPolicy.grandchildMs,
    placeholder: 'MS',
    help: 'how long the answer of a wait is held back for a background process that keeps the output open',
  },
  'host-close-timeout': {
    kind: 'integer',
    default: defaultDrainPolicy.hostCloseMs,
    placeholder: 'MS',
    help: 'how long the answer of a wait is held back for a host that has not closed an ended stream',
  },
  'state-dir': {
    kind: 'string',
    default: '',
    placeholder: 'PATH',
    help: 'what an agent that follows a killed one goes on with; off: nothing is kept (default state below the directory of -supervise, /run/gcs)',
  },
  version: { kind: 'boolean', default: false, help: 'print the version and exit' },
} as const;

/** Taken by bin/gcs, never seen here. */
const launcherFlagSpecs = {
  'supervise[=DIR]': {
    kind: 'boolean',
    default: false,
    help: 'start the agent again when it dies, for a machine whose PID 1 is not our init; what outlives the agent is kept below DIR, default /run/gcs',
  },
} as const;

export type AgentFlags = FlagValues<typeof agentFlagSpecs>;

export const usage = `Usage: gcs [flags]

Guest agent of a utility VM: dials the host's bridge and runs containers for it.

Flags (one dash or two):
${formatFlags({ ...agentFlagSpecs, ...launcherFlagSpecs })}
Examples:
  gcs -v4 -log-format json -loglevel info               in a VM, host reached by vsock
  gcs -transport hybrid:/run/vm.sock                    without a VM, host behind unix sockets
  gcs -transport hybrid:/run/vm.sock -runtime crun      with another OCI runtime
  gcs -supervise -transport hybrid:/run/vm.sock         without a VM, and outliving a kill
`;

/** Throws FlagError; 'help' when asked for. */
export function parseAgentFlags(args: readonly string[]): AgentFlags | 'help' {
  return parseFlags(agentFlagSpecs, args);
}
