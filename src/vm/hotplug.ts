import { connect, type Socket } from 'node:net';
import { VmError } from './errors.ts';
import { hotplugLimits } from './limits.ts';
import { SCSI_CONTROLLER } from './qemu.ts';
import { QmpClient } from './qmp.ts';

/** The agent's name for the one controller that every VM has. */
const CONTROLLER_NUMBER = 0;
/** Of target 0; hosts speak of luns in one byte. */
const LUNS = 256;

/** A disk as host and guest know it. */
export interface PluggedDisk {
  readonly controller: number;
  readonly lun: number;
}

export interface DiskFile {
  readonly path: string;
  readonly readOnly: boolean;
}

function deviceId(lun: number): string {
  return `gcsctl-disk-${lun}`;
}

function nodeName(lun: number): string {
  return `gcsctl-node-${lun}`;
}

/**
 * QEMU's control socket of a running VM for a while, to give and take disks. QEMU listens to one client
 * at a time: whoever has this can look for free places and take them, and others wait. So it is to be
 * had for short.
 */
export class HotplugSession implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #qmp: QmpClient;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#qmp = new QmpClient(socket);
  }

  /** `path`: of the socket. VmError 'ended' without a QEMU there, 'refused' when it serves another client for long. */
  static async open(path: string, signal?: AbortSignal): Promise<HotplugSession> {
    const session = new HotplugSession(connect(path));
    const { hotplugMs } = hotplugLimits;
    const why = `QEMU did not take commands within ${hotplugMs} ms: another program holds ${path}`;
    try {
      await within(session.#qmp.negotiate(), why, signal);
      return session;
    } catch (error) {
      await session[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Plugs in a disk at the lowest free place. What failed in the middle is taken back. */
  async plug(file: DiskFile): Promise<PluggedDisk> {
    const lun = await this.#freeLun();
    await this.#qmp.execute('blockdev-add', {
      driver: 'raw',
      'node-name': nodeName(lun),
      'read-only': file.readOnly,
      // What the guest discards is given back to the host.
      discard: 'unmap',
      file: { driver: 'file', filename: file.path, discard: 'unmap' },
    });
    try {
      await this.#qmp.execute('device_add', {
        driver: 'scsi-hd',
        id: deviceId(lun),
        bus: `${SCSI_CONTROLLER}.0`,
        ...{ channel: 0, 'scsi-id': 0, lun },
        drive: nodeName(lun),
      });
    } catch (error) {
      await this.#qmp.execute('blockdev-del', { 'node-name': nodeName(lun) });
      throw error;
    }
    return { controller: CONTROLLER_NUMBER, lun };
  }

  /** Takes a disk away and closes its file. The guest should have let it go before. */
  async unplug({ lun }: PluggedDisk): Promise<void> {
    const id = deviceId(lun);
    // Subscribed before it is asked for: the event may come before the answer.
    using gone = this.#deleted(id);
    await this.#qmp.execute('device_del', { id });
    const why = `the guest did not give up the disk at lun ${lun} within ${hotplugLimits.hotplugMs} ms`;
    await within(Promise.race([gone.event, this.#ended()]), why);
    await this.#qmp.execute('blockdev-del', { 'node-name': nodeName(lun) });
  }

  async #freeLun(): Promise<number> {
    const devices = await this.#devices();
    if (!devices.includes(SCSI_CONTROLLER)) {
      throw new VmError('missing', 'the VM has no SCSI controller: end it and start it anew');
    }
    const taken = new Set<number>();
    for (const id of devices) {
      const path = `/machine/peripheral/${id}`;
      const properties = (await this.#qmp.execute('qom-list', { path })) as { name: string }[];
      if (!properties.some(({ name }) => name === 'lun')) continue;
      taken.add(Number(await this.#qmp.execute('qom-get', { path, property: 'lun' })));
    }
    for (let lun = 0; lun < LUNS; lun++) if (!taken.has(lun)) return lun;
    throw new VmError('refused', `all ${LUNS} places for disks of the VM are taken`);
  }

  async #devices(): Promise<string[]> {
    const entries = await this.#qmp.execute('qom-list', { path: '/machine/peripheral' });
    const children = entries as { name: string; type: string }[];
    return children.filter(({ type }) => type.startsWith('child<')).map(({ name }) => name);
  }

  #deleted(id: string): Disposable & { readonly event: Promise<void> } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const listener = (name: string, data: Readonly<Record<string, unknown>>): void => {
      if (name === 'DEVICE_DELETED' && data.device === id) resolve();
    };
    this.#qmp.on('event', listener);
    return { event: promise, [Symbol.dispose]: () => this.#qmp.off('event', listener) };
  }

  async #ended(): Promise<never> {
    await this.#qmp.closed;
    throw new VmError('ended', 'QEMU has closed its control connection');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await this.#qmp.closed;
  }
}

async function within<T>(work: Promise<T>, why: string, signal?: AbortSignal): Promise<T> {
  // Given up before it is waited for, it still fails when the connection goes.
  work.catch(() => {});
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new VmError('refused', why)), hotplugLimits.hotplugMs);
  const onAbort = (): void => reject(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    signal?.throwIfAborted();
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}
