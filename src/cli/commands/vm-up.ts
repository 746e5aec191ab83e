import { resolve } from 'node:path';
import { defineCommand } from '../command.ts';
import { secondsOption } from '../common-options.ts';
import { EXIT_OK, UsageError } from '../exit-codes.ts';
import { jsonOption, printJson } from '../output.ts';
import { interruptBySignal } from '../session.ts';
import { noPositionals, parseBytes } from '../values.ts';
import { DEFAULT_VM } from '../vm-target.ts';

const MIB = 1024 ** 2;

export const vmUpCommand = defineCommand({
  name: 'vm up',
  summary: 'start a virtual machine with the agent in it',
  usage: ['[OPTIONS] [-- AGENT-OPTIONS…]'],
  description: [
    'Boots the image of "npm run vm-image" under QEMU, waits until its agent has negotiated, and says how long each step took. The VM then goes on by itself: the other commands reach it with --vm NAME. KVM is used when a probe shows that it runs this kernel, QEMU’s own interpreter otherwise.',
    'Transport hybrid: our own vsock device, the agent dials its host. listen: the same with an agent that waits for its host (-listen), as under Firecracker. vsock: the vsock of the host’s kernel (/dev/vhost-vsock).',
    'A guest that panics, reboots or powers off is gone; its logs stay until "gcsctl vm down" or the next "gcsctl vm up".',
  ],
  options: {
    name: { kind: 'text', short: 'n', value: 'NAME', help: `default "${DEFAULT_VM}"` },
    memory: { kind: 'text', short: 'm', value: 'SIZE', help: 'of the guest (default 512m)' },
    'max-memory': {
      kind: 'text',
      value: 'SIZE',
      help: 'with what is plugged in while it runs (default: nothing can be)',
    },
    cpus: { kind: 'number', value: 'N', min: 1, max: 64, help: 'processors (default 2)' },
    image: { kind: 'text', value: 'DIR', help: 'default build/vm/ARCHITECTURE' },
    kernel: { kind: 'text', value: 'FILE', help: 'another kernel than the image’s' },
    transport: {
      kind: 'choice',
      value: 'KIND',
      of: ['hybrid', 'vsock', 'listen'],
      help: 'see above (default hybrid)',
    },
    accel: {
      kind: 'choice',
      value: 'KIND',
      of: ['kvm', 'tcg'],
      help: 'instead of probing for KVM',
    },
    append: { kind: 'text', value: 'TEXT', help: 'more kernel arguments' },
    shell: { kind: 'flag', help: 'a shell on the console: "gcsctl vm console"' },
    timeout: {
      ...secondsOption,
      min: 1,
      help: 'how long to wait for the agent (default 120)',
    },
    json: jsonOption,
  },
  commandAt: 0,
  examples: [
    ['vm up', 'a VM called "default"'],
    ['vm up --name web --memory 1g --cpus 2', 'with a name and limits'],
    ['vm up --transport listen -- -loglevel debug', 'with options of the agent'],
  ],
  async run(values, positionals, io) {
    const abort = new AbortController();
    using _signals = interruptBySignal(abort);
    const { bringUp } = await import('../vm-up.ts');
    const memory = Math.floor(parseBytes('--memory', values.memory ?? '512m') / MIB);
    if (memory < 128) throw new UsageError('--memory: a guest needs 128m at least');
    const maxMemory = maxMemoryOf(values['max-memory'], memory);
    const result = await bringUp(
      {
        name: values.name ?? DEFAULT_VM,
        memory,
        maxMemory,
        cpus: values.cpus ?? 2,
        image: values.image === undefined ? undefined : resolve(io.cwd, values.image),
        kernel: values.kernel === undefined ? undefined : resolve(io.cwd, values.kernel),
        transport: (values.transport ?? 'hybrid') as 'hybrid' | 'vsock' | 'listen',
        acceleration: values.accel as 'kvm' | 'tcg' | undefined,
        agentArguments: positionals,
        append: values.append,
        shell: values.shell,
        timeoutMs: (values.timeout ?? 120) * 1000,
      },
      io,
      abort.signal,
    );
    if (values.json) printJson(io, result);
    return EXIT_OK;
  },
});

/** MiB; undefined when it is not asked for. */
function maxMemoryOf(text: string | undefined, memory: number): number | undefined {
  if (text === undefined) return undefined;
  const maximum = Math.floor(parseBytes('--max-memory', text) / MIB);
  if (maximum > memory) return maximum;
  throw new UsageError('--max-memory: must be more than --memory');
}

export const vmSuperviseCommand = defineCommand({
  name: 'vm supervise',
  summary: 'be a virtual machine: what "vm up" starts',
  usage: [''],
  description: ['Not for people: takes its plan from standard input.'],
  options: {},
  examples: [],
  async run(_values, positionals, io) {
    noPositionals(positionals);
    const [{ serveSupervisor }, { createLogger }] = await Promise.all([
      import('../../vm/serve.ts'),
      import('../../log/create-logger.ts'),
    ]);
    using log = createLogger({ format: 'text', level: 'info' });
    await serveSupervisor(io.stdin, io.stdout, log);
    return EXIT_OK;
  },
});
