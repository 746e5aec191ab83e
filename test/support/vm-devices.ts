/** Devices of a VM, given and taken while it runs, through QEMU's QMP. */
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { SCSI_CONTROLLER } from '../../src/vm/qemu.ts';
import { QmpClient } from '../../src/vm/qmp.ts';

let serial = 0;

const pciSlot = (slot: number): string => `0x${slot.toString(16)}`;

export class VmDevices implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #qmp: QmpClient;
  /** How to take each away, the newest last. */
  readonly #attached: { id: string; detach: () => Promise<void> }[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#qmp = new QmpClient(socket);
  }

  /** `directory`: of the VM. */
  static async open(directory: string): Promise<VmDevices> {
    const devices = new VmDevices(connect(join(directory, 'qmp')));
    await devices.#qmp.negotiate();
    return devices;
  }

  /** The bus of the SCSI controller that every VM has, the host's number 0. */
  async scsiController(): Promise<string> {
    return `${SCSI_CONTROLLER}.0`;
  }

  /** A disk on a SCSI bus. Returns its id. */
  async scsiDisk(bus: string, lun: number, file: string, readOnly = false): Promise<string> {
    const address = { bus, channel: 0, 'scsi-id': 0, lun };
    return await this.#disk({ driver: 'scsi-hd', ...address }, file, readOnly);
  }

  async virtioBlk(serialNumber: string, file: string, readOnly = false): Promise<string> {
    return await this.#disk({ driver: 'virtio-blk-pci', serial: serialNumber }, file, readOnly);
  }

  /**
   * A network adapter on a hub of the VM's own: what is plugged into the same hub hears each other,
   * and nobody else does.
   */
  async nic(hub: number, mac: string, slot?: number): Promise<string> {
    const netdev = this.#id('net');
    await this.#qmp.execute('netdev_add', { type: 'hubport', id: netdev, hubid: hub });
    const id = this.#id('nic');
    const place = slot === undefined ? {} : { addr: pciSlot(slot) };
    await this.#device(id, { driver: 'virtio-net-pci', netdev, mac, ...place }, async () => {
      await this.#qmp.execute('netdev_del', { id: netdev });
    });
    return id;
  }

  /** Any device at all, in a slot of the first PCI bus. */
  async pciDevice(driver: string, slot: number): Promise<string> {
    const id = this.#id('pci');
    await this.#device(id, { driver, addr: pciSlot(slot) });
    return id;
  }

  /** A memory module. As the next two it stays for the life of the VM: no guest has to give one back. */
  async memory(size: number): Promise<void> {
    await this.#memoryDevice('pc-dimm', { 'qom-type': 'memory-backend-memfd', size });
  }

  /** Persistent memory whose content is a file: an NVDIMM. */
  async nvdimm(file: string, size: number): Promise<void> {
    const backend = { 'qom-type': 'memory-backend-file', 'mem-path': file, size };
    await this.#memoryDevice('nvdimm', backend);
  }

  /** The same as a virtio device. */
  async virtioPmem(file: string, size: number): Promise<void> {
    const backend = { 'qom-type': 'memory-backend-file', 'mem-path': file, size };
    await this.#memoryDevice('virtio-pmem-pci', backend);
  }

  async #memoryDevice(driver: string, backend: object): Promise<void> {
    const memdev = this.#id('memory');
    // The process that is the guest's vsock device sees its memory, this as well.
    await this.#qmp.execute('object-add', { ...backend, id: memdev, share: true });
    await this.#qmp.execute('device_add', { id: this.#id('dimm'), driver, memdev });
  }

  /** A virtiofs device whose server (vhost-user) listens on a socket. */
  async virtiofs(tag: string, socket: string): Promise<string> {
    const chardev = this.#id('share');
    const backend = {
      type: 'socket',
      data: { addr: { type: 'unix', data: { path: socket } }, server: false },
    };
    await this.#qmp.execute('chardev-add', { id: chardev, backend });
    const id = this.#id('fs');
    await this.#device(id, { driver: 'vhost-user-fs-pci', chardev, tag }, async () => {
      await this.#qmp.execute('chardev-remove', { id: chardev });
    });
    return id;
  }

  /** Takes a device away and resolves when the guest has let it go. */
  async detach(id: string): Promise<void> {
    const index = this.#attached.findIndex((each) => each.id === id);
    const [found] = this.#attached.splice(index, 1);
    await found?.detach();
  }

  /** The machine ends with all it has: nothing is taken away from it any more. */
  abandon(): void {
    this.#attached.length = 0;
  }

  async #disk(device: object, file: string, readOnly: boolean): Promise<string> {
    const node = this.#id('node');
    await this.#qmp.execute('blockdev-add', {
      driver: 'raw',
      'node-name': node,
      'read-only': readOnly,
      file: { driver: 'file', filename: file },
    });
    const id = this.#id('disk');
    await this.#device(id, { ...device, drive: node }, async () => {
      await this.#qmp.execute('blockdev-del', { 'node-name': node });
    });
    return id;
  }

  async #device(id: string, properties: object, after = async () => {}): Promise<void> {
    await this.#qmp.execute('device_add', { id, ...properties });
    const detach = async (): Promise<void> => {
      const gone = new Promise<void>((resolve) => {
        const onEvent = (name: string, data: Readonly<Record<string, unknown>>): void => {
          if (name !== 'DEVICE_DELETED' || data.device !== id) return;
          this.#qmp.off('event', onEvent);
          resolve();
        };
        this.#qmp.on('event', onEvent);
      });
      await this.#qmp.execute('device_del', { id });
      await gone;
      await after();
    };
    this.#attached.push({ id, detach });
  }

  #id(kind: string): string {
    return `test-${kind}-${process.pid}-${serial++}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { detach } of this.#attached.splice(0).reverse()) await detach();
    this.#socket.destroy();
    await this.#qmp.closed;
  }
}
