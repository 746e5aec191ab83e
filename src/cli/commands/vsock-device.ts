import { resolve } from 'node:path';
import { defineCommand } from '../command.ts';
import { CliError, EXIT_OK, UsageError } from '../exit-codes.ts';
import { SignalWatch } from '../signals.ts';
import { noPositionals } from '../values.ts';

/** vsock(7): 0 to 2 are the hypervisor, loopback and the host; 2^32-1 is VMADDR_CID_ANY. */
const FIRST_CID = 3;
const LAST_CID = 0xfffffffe;

/** sun_path of unix(7) less its NUL and the longest port, "_4294967294". */
const MAX_PATH = 107 - 11;

export const vsockDeviceCommand = defineCommand({
  name: 'vsock-device',
  summary: 'be the vsock device of a virtual machine',
  usage: ['--socket SOCKET --path PATH --cid N [OPTIONS]'],
  description: [
    'A vhost-user backend: QEMU connects to SOCKET and its guest gets a virtio-vsock device. The host’s side is hybrid:PATH: a connection to the unix socket PATH that writes "CONNECT port" reaches a port of the guest; what the guest dials goes to the unix socket PATH_port.',
    'Start it before QEMU. It serves one QEMU after the other until Ctrl-C, which removes both sockets; with --once it ends with the first. For QEMU: -object memory-backend-memfd,id=mem,size=SIZE,share=on -machine memory-backend=mem -chardev socket,id=vsock,path=SOCKET -device vhost-user-vsock-pci,chardev=vsock',
  ],
  options: {
    socket: { kind: 'text', value: 'SOCKET', help: 'unix socket QEMU connects to' },
    path: { kind: 'text', value: 'PATH', help: 'PATH of hybrid:PATH' },
    cid: {
      kind: 'number',
      value: 'N',
      min: FIRST_CID,
      max: LAST_CID,
      help: 'context identifier of the guest',
    },
    once: { kind: 'flag', help: 'end when QEMU has left' },
    loglevel: {
      kind: 'choice',
      value: 'LEVEL',
      of: ['trace', 'debug', 'info', 'warning', 'error'],
      help: 'log level (default info)',
    },
  },
  examples: [['vsock-device --socket /run/vm/device --path /run/vm/vsock --cid 3', 'until Ctrl-C']],
  async run(values, positionals, io) {
    noPositionals(positionals);
    const socket = resolve(io.cwd, required('--socket', values.socket));
    const path = resolve(io.cwd, required('--path', values.path));
    const cid = required('--cid', values.cid);
    if (Buffer.byteLength(path) > MAX_PATH)
      throw new UsageError(`--path: a path of at most ${MAX_PATH} bytes, not ${path}`);
    const [{ VsockDeviceServer }, { createLogger }] = await Promise.all([
      import('../../vsock/emulator/device/server.ts'),
      import('../../log/create-logger.ts'),
    ]);
    using log = createLogger({ format: 'text', level: values.loglevel ?? 'info' });
    const end = Promise.withResolvers<void>();
    using _signals = new SignalWatch(() => end.resolve());
    using _server = new VsockDeviceServer({
      socket,
      path,
      cid,
      log,
      onDisconnected: () => {
        if (values.once) end.resolve();
      },
      onFailure: (cause) => {
        const reason = cause instanceof Error ? cause.message : String(cause);
        end.reject(new CliError(`the vsock device has ended: ${reason}`, { cause }));
      },
    });
    log.info(`vsock device for CID ${cid}: QEMU connects to ${socket}, hosts to ${path}`);
    await end.promise;
    return EXIT_OK;
  },
});

function required<T>(option: string, value: T | undefined): T {
  if (value === undefined) throw new UsageError(`${option} is missing`);
  return value;
}
