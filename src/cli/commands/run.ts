import type { GuestContainer } from '../../client/container.ts';
import { attach } from '../attach.ts';
import { defineCommand } from '../command.ts';
import { interactiveOption, programExitCodes } from '../common-options.ts';
import { containerOptions } from '../container-options.ts';
import { type ContainerPlan, planContainer } from '../container-plan.ts';
import { createKept, keptGiven, keptOptions, planKept } from '../door/make.ts';
import { openDoor } from '../door/open.ts';
import { EXIT_OK, Interrupted, UsageError } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import type { ImageContainer } from '../image-container.ts';
import { imageOptions, refuseImageOptions } from '../image-options.ts';
import type { Io } from '../io.ts';
import type { OptionValues } from '../options.ts';
import { interruptBySignal, openPrivate, openStanding, type Session } from '../session.ts';
import type { SignalWatch } from '../signals.ts';

const options = {
  ...containerOptions,
  ...imageOptions,
  interactive: interactiveOption,
  detach: {
    kind: 'flag',
    short: 'd',
    help: 'let it run by itself on a standing agent; print its id and return',
  },
  rm: { kind: 'flag', default: true, help: 'delete the container at the end; not with --detach' },
  ...keptOptions,
  host: { ...hostOptions.host, help: 'use the agent on hybrid:PATH instead of a private one' },
  vm: hostOptions.vm,
  timeout: hostOptions.timeout,
  runtime: { kind: 'text', value: 'NAME', help: 'OCI runtime of the private agent (default runc)' },
  loglevel: { kind: 'text', value: 'LEVEL', help: 'log level of the private agent' },
} as const;

export const runCommand = defineCommand({
  name: 'run',
  summary: 'run a command in a new container',
  usage: [
    '[OPTIONS] --rootfs DIR [--] COMMAND…',
    '[OPTIONS] --bundle DIR [[--] COMMAND…]',
    '[OPTIONS] --vm NAME --image FILE [[--] COMMAND…]',
    '--detach [OPTIONS] --rootfs DIR [--] COMMAND…',
  ],
  description: [
    'Creates a container, runs the command in it and deletes it at the end. Without --host an agent is started for this one container and ended with it.',
    'With -it at a terminal, the container has a terminal of the same size, every key goes to it, and the window may be resized. Otherwise SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on; a second SIGINT or SIGTERM kills the container.',
    'With --detach the container goes on by itself on a standing agent until "gcsctl stop" and "gcsctl rm": "gcsctl logs" shows what it writes, "gcsctl attach" joins it.',
    'With --bundle, the options and the command change what the bundle’s config.json says; the bundle itself stays as it is. Whether there is a terminal is for -t alone to say.',
    'With --image, each layer of the image becomes a read-only disk, whose every block the VM checks when it reads it (dm-verity). The disks are kept for the next time. They and an empty scratch disk are plugged into the VM, combined to the root of the container, and taken away at the end. A command replaces the image’s command, not its entry point.',
  ],
  options,
  commandAt: 0,
  examples: [
    ['run -it --rootfs ./rootfs -- /bin/sh', 'a shell in a terminal'],
    ['run -i --rootfs ./rootfs -- wc -c < file', 'stdin from a file'],
    ['run -d --name web --rootfs ./rootfs -- httpd -f', 'by itself, on a standing agent'],
    ['run --bundle ./bundle --memory 64m --cpus 0.5', 'what an OCI bundle says, with limits'],
    ['run -it --vm one --image alpine.tar', 'a container of an image, in a virtual machine'],
    ['run --mount "$PWD":/src:ro --cwd /src --rootfs ./rootfs -- ls', 'a directory of the guest'],
  ],
  exitCodes: [
    ...programExitCodes,
    ['other', 'exit code of the command, 128+N when signal N ended it'],
  ],
  async run(values, positionals, io) {
    if (values.detach) return await runDetached(values, positionals, io);
    const [kept] = keptGiven(values);
    if (kept !== undefined) throw new UsageError(`--${kept} goes with --detach`);
    const abort = new AbortController();
    using signals = interruptBySignal(abort);
    const image = await imageOf(values, positionals, io, abort.signal);
    const plan = image?.plan ?? planContainer(values, positionals, io);
    const standing = values.host !== undefined || values.vm !== undefined;
    if (standing && values.runtime !== undefined) {
      throw new UsageError('--runtime is for a private agent; the one on --host has its own');
    }
    if (!standing && !values.rm) {
      throw new UsageError('--no-rm needs --host: a container ends with its private agent');
    }
    const connection = { host: values.host, vm: values.vm, timeout: values.timeout };
    const agent = {
      timeout: values.timeout,
      runtime: values.runtime,
      logLevel: values.loglevel,
    };
    await using session = standing
      ? await openStanding(connection, io, abort.signal)
      : await openPrivate(agent, io, abort.signal);
    await using _root = await image?.mount(session.guest, abort.signal);
    return await runContainer(session, plan, {
      keep: !values.rm,
      stdin: values.interactive,
      signals,
      io,
    });
  },
});

/** Everything or nothing: what cannot be started is removed again. */
async function runDetached(
  values: OptionValues<typeof options>,
  command: readonly string[],
  io: Io,
): Promise<number> {
  if (values.image !== undefined) {
    throw new UsageError('--image and --detach exclude each other: its disks are this command’s');
  }
  refuseImageOptions(values);
  if (values.runtime !== undefined || values.loglevel !== undefined) {
    throw new UsageError('--runtime and --loglevel are for a private agent');
  }
  const plan = planContainer(values, command, io);
  const kept = planKept(values, plan);
  await using door = await openDoor(values, io);
  const { client, signal } = door;
  const { id } = plan;
  await createKept(door, plan, kept, values.interactive);
  try {
    await client.call('container.start', { id }, { signal });
  } catch (error) {
    await client.call('container.delete', { id, force: true });
    throw error;
  }
  io.stdout.write(`${id}\n`);
  return EXIT_OK;
}

async function imageOf(
  values: OptionValues<typeof options>,
  command: readonly string[],
  io: Io,
  signal: AbortSignal,
): Promise<ImageContainer | undefined> {
  if (values.image === undefined) {
    refuseImageOptions(values);
    return undefined;
  }
  const { prepareImage } = await import('../image-container.ts');
  return await prepareImage(values, command, io, signal);
}

interface RunOptions {
  readonly keep: boolean;
  readonly stdin: boolean;
  readonly signals: SignalWatch;
  readonly io: Io;
}

async function runContainer(
  { guest }: Session,
  plan: ContainerPlan,
  { keep, stdin, signals, io }: RunOptions,
): Promise<number> {
  // A create is not given up half-way: the signal is obeyed once there is something to delete.
  const abort = new AbortController();
  let interrupted: Interrupted | undefined;
  signals.receiver = (name, signal) => {
    if (interrupted !== undefined) abort.abort(interrupted);
    interrupted = new Interrupted(name, signal);
  };
  await using stack = new AsyncDisposableStack();
  const container = await guest.createContainer(plan, { signal: abort.signal });
  if (!keep) stack.use(container);
  if (interrupted !== undefined) throw interrupted;
  const init = await container.start({ stdin }, { signal: abort.signal });
  return await attachInit(container, init, { terminal: plan.terminal, signals, io });
}

/** Attaches to a container's init; the last resort against it is SIGKILL for the container. */
function attachInit(
  container: GuestContainer,
  init: NonNullable<GuestContainer['init']>,
  options: { terminal: boolean; signals: SignalWatch; io: Io },
): Promise<number> {
  return attach(init, { ...options, kill: () => container.shutdown('forced') });
}
