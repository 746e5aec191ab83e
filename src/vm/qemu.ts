import type { VmArchitecture, VmImage } from './image.ts';

/** How the guest's instructions are run: by the processor, or by QEMU (many times slower). */
export type Acceleration = 'kvm' | 'tcg';

/** How host and guest reach each other: our vsock device, the same with an agent that listens, or the host's vhost-vsock. */
export type VmTransport = 'hybrid' | 'vsock' | 'listen';

export interface QemuOptions {
  readonly name: string;
  readonly image: VmImage;
  readonly acceleration: Acceleration;
  /** MiB. */
  readonly memory: number;
  /** MiB it may have with what is plugged in while it runs, persistent memory included; undefined: nothing can be. */
  readonly maxMemory: number | undefined;
  readonly cpus: number;
  readonly transport: VmTransport;
  readonly cid: number;
  /** Socket of the vhost-user device; not for transport vsock. */
  readonly deviceSocket: string;
  /** Socket on which QEMU takes QMP from anybody who asks. */
  readonly qmpSocket: string;
  readonly commandLine: string;
}

/** Descriptors QEMU inherits, each one end of a connected pair. */
export const QMP_FD = 3;
export const CONSOLE_FD = 4;

/** The SCSI controller, on which disks are given to the guest while it runs; its bus is "ID.0". */
export const SCSI_CONTROLLER = 'scsi0';

/** The vsock device takes eight regions of memory, of which the machine itself has up to three. */
const MEMORY_SLOTS = 4;

interface Machine {
  readonly program: string;
  readonly machine: string;
  /** The processor that is interpreted. */
  readonly interpreted: string;
}

const MACHINES: Readonly<Record<VmArchitecture, Machine>> = {
  // The PCI of "pc" is found in half the time of q35's.
  amd64: { program: 'qemu-system-x86_64', machine: 'pc', interpreted: 'max' },
  arm64: {
    program: 'qemu-system-aarch64',
    machine: 'virt',
    // The kernel signs its pointers; the architecture's own cipher takes most of the time to interpret.
    interpreted: 'max,pauth-impdef=on',
  },
};

/** The program that runs machines of this processor. */
export function qemuProgram(architecture: VmArchitecture): string {
  return MACHINES[architecture].program;
}

/** QEMU's arguments; see qemu-system(1). */
export function qemuArguments(options: QemuOptions): string[] {
  const { image, acceleration, memory, cpus, name } = options;
  const { machine, interpreted } = MACHINES[image.architecture];
  const growing = options.maxMemory !== undefined;
  return [
    ...['-name', name, '-nodefaults', '-no-user-config', '-display', 'none'],
    // The guest's memory is shared with the process that is its vsock device.
    ...['-machine', `${machine},memory-backend=mem${growing ? ',nvdimm=on' : ''}`],
    ...['-object', `memory-backend-memfd,id=mem,size=${memory}M,share=on`],
    ...processor(acceleration, interpreted),
    ...['-smp', String(cpus), '-m', `${memory}M${room(options)}`],
    ...['-kernel', image.kernel, '-initrd', image.initramfs, '-append', options.commandLine],
    ...disk(image),
    ...['-device', `virtio-scsi-pci,id=${SCSI_CONTROLLER}`],
    ...vsock(options),
    // The first line is the supervisor's own, and is there before QEMU runs; the second is for tools.
    ...['-chardev', `socket,id=qmp0,fd=${QMP_FD}`, '-mon', 'chardev=qmp0,mode=control'],
    ...['-chardev', `socket,id=qmp1,path=${options.qmpSocket},server=on,wait=off`],
    ...['-mon', 'chardev=qmp1,mode=control'],
    ...['-chardev', `socket,id=console,fd=${CONSOLE_FD}`, '-serial', 'chardev:console'],
    // A guest that panics or reboots is a guest that ended: nothing restarts it behind one's back.
    '-no-reboot',
  ];
}

/**
 * Room for memory modules is only made when it is asked for: a guest that may have memory beyond
 * 4 GiB sets some of what it has aside to reach it.
 */
function room({ maxMemory }: QemuOptions): string {
  return maxMemory === undefined ? '' : `,slots=${MEMORY_SLOTS},maxmem=${maxMemory}M`;
}

function processor(acceleration: Acceleration, interpreted: string): string[] {
  switch (acceleration) {
    case 'kvm':
      return ['-accel', 'kvm', '-cpu', 'host'];
    case 'tcg':
      return ['-accel', 'tcg,thread=multi', '-cpu', interpreted];
  }
}

function disk({ root }: VmImage): string[] {
  if (root === undefined) return [];
  return [
    ...['-drive', `if=none,id=root,file=${root.replaceAll(',', ',,')},format=raw,readonly=on`],
    ...['-device', 'virtio-blk-pci,drive=root'],
  ];
}

function vsock({ transport, cid, deviceSocket }: QemuOptions): string[] {
  switch (transport) {
    case 'vsock':
      return ['-device', `vhost-vsock-pci,guest-cid=${cid}`];
    case 'hybrid':
    case 'listen':
      return [
        ...['-chardev', `socket,id=vsock,path=${deviceSocket}`],
        ...['-device', 'vhost-user-vsock-pci,chardev=vsock'],
      ];
  }
}

/** Vsock ports of the host that init uses, those of LCOW. */
export const ENTROPY_PORT = 1;
export const LOG_PORT = 109;

export interface GuestCommand {
  readonly transport: VmTransport;
  /** More arguments of the agent. */
  readonly agentArguments: readonly string[];
  /** More kernel arguments. */
  readonly append: string | undefined;
  /** A shell on the console. */
  readonly shell: boolean;
}

/** The kernel's command line: its own arguments, then init's behind "--", as LCOW writes them. */
export function kernelCommandLine(image: string, command: GuestCommand): string {
  const agent = ['/bin/gcs', '-v4', '-log-format', 'json', ...command.agentArguments];
  if (command.transport === 'listen') agent.push('-listen');
  const init = ['-e', String(ENTROPY_PORT), ...(command.shell ? ['-d', '/bin/sh'] : [])];
  const log = ['/bin/vsockexec', '-e', String(LOG_PORT)];
  const append = command.append === undefined ? [] : [command.append];
  return [image, ...append, '--', ...init, ...log, ...agent].join(' ');
}
