import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { WatchDevices } from './appearance.ts';
import { machineDevices } from './sysfs-resolver.ts';

/** A sysfs and a /dev of files, and the announcements of their changes. */
class FakeMachine {
  readonly root = mkdtempSync(join(tmpdir(), 'gcs-sysfs-'));
  readonly sysfs = join(this.root, 'sys');
  readonly dev = join(this.root, 'dev');
  readonly #listeners = new Set<() => void>();
  watches = 0;

  readonly watch: WatchDevices = (onChange) => {
    this.watches++;
    this.#listeners.add(onChange);
    return { [Symbol.dispose]: () => void this.#listeners.delete(onChange) };
  };

  get watched(): boolean {
    return this.#listeners.size > 0;
  }

  announce(): void {
    for (const listener of this.#listeners) listener();
  }

  file(path: string, text: string): void {
    const full = join(this.sysfs, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
  }

  directory(path: string): void {
    mkdirSync(join(this.sysfs, path), { recursive: true });
  }

  link(path: string, target: string): void {
    const full = join(this.sysfs, path);
    mkdirSync(dirname(full), { recursive: true });
    symlinkSync(join(this.sysfs, target), full);
  }

  node(name: string): void {
    mkdirSync(this.dev, { recursive: true });
    writeFileSync(join(this.dev, name), '');
  }

  /** A disk of a SCSI host, with its node. */
  scsiDisk(host: number, lun: number, name: string): void {
    const device = `bus/scsi/devices/${host}:0:0:${lun}`;
    this.file(`${device}/delete`, '');
    this.file(`${device}/block/${name}/uevent`, `MAJOR=8\nDEVNAME=${name}\nDEVTYPE=disk\n`);
    this.node(name);
  }

  resolver(timeoutMs?: number) {
    const { sysfs, dev, watch } = this;
    return machineDevices({ sysfs, dev, watch, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  }
}

let machine: FakeMachine;
beforeEach(() => {
  machine = new FakeMachine();
});
afterEach(() => {
  expect(machine.watched, 'somebody still watches').toBe(false);
  rmSync(machine.root, { recursive: true });
});

const whole = { controller: 0, lun: 0, partition: 0 };
const SECOND_CONTROLLER = '0110f83b-de10-5172-a266-78bca56bf50a';
const SOME_GUID = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee';

describe('Hyper-V', () => {
  test('a controller is found by its guid, whatever number its SCSI host has', async () => {
    machine.directory('bus/vmbus/devices/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/host12');
    machine.directory(`bus/vmbus/devices/${SECOND_CONTROLLER}/host3`);
    machine.scsiDisk(12, 0, 'sda');
    machine.scsiDisk(3, 63, 'sdb');
    const devices = machine.resolver();
    expect(devices.name).toBe('hyper-v');
    expect(await devices.disk(whole)).toBe(join(machine.dev, 'sda'));
    const second = { controller: 1, lun: 63, partition: 0 };
    expect(await devices.disk(second)).toBe(join(machine.dev, 'sdb'));
    expect(machine.watches).toBe(0);
  });

  test('a disk is unplugged through its delete file; one that is not there is no error', async () => {
    machine.directory(`bus/vmbus/devices/${SECOND_CONTROLLER}/host3`);
    machine.scsiDisk(3, 2, 'sdb');
    const devices = machine.resolver();
    await devices.unplug({ controller: 1, lun: 2 });
    const file = join(machine.sysfs, 'bus/scsi/devices/3:0:0:2/delete');
    expect(readFileSync(file, 'utf8')).toBe('1\n');
    await devices.unplug({ controller: 1, lun: 9 });
    await devices.unplug({ controller: 0, lun: 0 });
    expect(existsSync(join(machine.sysfs, 'bus/scsi/devices/3:0:0:9'))).toBe(false);
  });

  test('an assigned PCI device: below the bus of its guid, in capitals too', async () => {
    machine.directory('bus/vmbus/devices');
    const found = machine.resolver().pci(SOME_GUID.toUpperCase());
    machine.directory(`bus/vmbus/devices/${SOME_GUID}/pci1b2c:00`);
    machine.announce();
    machine.directory(`bus/vmbus/devices/${SOME_GUID}/pci1b2c:00/1b2c:00:00.0`);
    machine.announce();
    expect(await found).toMatch(/pci1b2c:00\/1b2c:00:00\.0$/);
    for (const id of ['', '..', '../../../etc', `${SOME_GUID}/..`, '0000:00:05.0']) {
      await expect(machine.resolver().pci(id)).rejects.toMatchObject({ field: 'VMBusGUID' });
    }
  });
});

describe('virtio', () => {
  /** Controllers as the kernel may number them: not in the order of their places. */
  function controllers(): void {
    const places: [slot: string, virtio: number, host: number, driver: string][] = [
      ['0000:00:05.0', 4, 2, 'virtio_scsi'],
      ['0000:00:04.0', 5, 7, 'virtio_scsi'],
      ['0000:00:03.0', 1, 9, 'other_scsi'],
    ];
    for (const [slot, virtio, host, driver] of places) {
      const device = `devices/pci0000:00/${slot}/virtio${virtio}`;
      machine.directory(`${device}/host${host}`);
      machine.directory(`bus/virtio/drivers/${driver}`);
      machine.link(`${device}/driver`, `bus/virtio/drivers/${driver}`);
      machine.link(`class/scsi_host/host${host}/device`, `${device}/host${host}`);
    }
  }

  test('controllers count by their PCI addresses', async () => {
    controllers();
    machine.scsiDisk(7, 1, 'sda');
    machine.scsiDisk(2, 1, 'sdb');
    machine.scsiDisk(9, 1, 'sdc');
    const devices = machine.resolver();
    expect(devices.name).toBe('virtio');
    const disk = (controller: number) => devices.disk({ controller, lun: 1, partition: 0 });
    expect(await disk(0)).toBe(join(machine.dev, 'sda'));
    expect(await disk(1)).toBe(join(machine.dev, 'sdb'));
  });

  test('without a controller the disk with the serial number of the address', async () => {
    for (const [name, serial] of [
      ['vda', 'root'],
      ['vdb', 'gcs-0-11'],
      ['vdc', 'gcs-0-1'],
    ] as const) {
      machine.file(`block/${name}/serial`, `${serial}\n`);
      machine.file(`block/${name}/uevent`, `DEVNAME=${name}\n`);
      machine.node(name);
    }
    const found = await machine.resolver().disk({ controller: 0, lun: 1, partition: 0 });
    expect(found).toBe(join(machine.dev, 'vdc'));
    // It is no SCSI device: nothing is to be unplugged.
    await machine.resolver().unplug({ controller: 0, lun: 1 });
  });

  test('a PCI device by its address', async () => {
    machine.directory('bus/pci/devices/0000:00:1f.7');
    expect(await machine.resolver().pci('0000:00:1F.7')).toMatch(/0000:00:1f\.7$/);
    for (const id of ['', '..', '0000:00:1f.8', '00:1f.7', SOME_GUID]) {
      await expect(machine.resolver().pci(id)).rejects.toMatchObject({
        code: 'invalid-argument',
        field: 'VMBusGUID',
      });
    }
  });
});

describe('both', () => {
  function controller(): void {
    machine.directory('bus/vmbus/devices/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/host0');
  }

  test('a device that comes later is found when it is announced', async () => {
    machine.directory('bus/vmbus');
    const found = machine.resolver().disk(whole);
    machine.announce();
    controller();
    machine.announce();
    machine.file('bus/scsi/devices/0:0:0:0/block/sda/uevent', 'DEVNAME=sda\n');
    // In sysfs, and its node is not there yet.
    machine.announce();
    machine.node('sda');
    machine.announce();
    expect(await found).toBe(join(machine.dev, 'sda'));
    expect(machine.watches).toBe(1);
  });

  test('one that came between the first look and the watch is found without an announcement', async () => {
    controller();
    const { sysfs, dev } = machine;
    const watch: WatchDevices = (onChange) => {
      machine.scsiDisk(0, 0, 'sda');
      return machine.watch(onChange);
    };
    expect(await machineDevices({ sysfs, dev, watch }).disk(whole)).toBe(join(dev, 'sda'));
  });

  test('one that does not come is named', async () => {
    machine.directory('bus/vmbus');
    await expect(machine.resolver(1).disk({ controller: 2, lun: 5, partition: 3 })).rejects.toThrow(
      'disk 5 of SCSI controller 2, partition 3 did not appear within 1 ms',
    );
    await expect(machine.resolver(1).pmem(4)).rejects.toMatchObject({ errno: 'ETIMEDOUT' });
  });

  test('the wait can be given up', async () => {
    machine.directory('bus/vmbus');
    const abort = new AbortController();
    const found = machine.resolver().disk(whole, { signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(found).rejects.toThrow('enough');
    await expect(machine.resolver().disk(whole, { signal: abort.signal })).rejects.toThrow(
      'enough',
    );
  });

  test('a partition is found by its number, not by its name', async () => {
    controller();
    machine.scsiDisk(0, 0, 'sda');
    for (const [name, partition] of [
      ['sda1', 12],
      ['sda12', 1],
    ] as const) {
      const directory = `bus/scsi/devices/0:0:0:0/block/sda/${name}`;
      machine.file(`${directory}/partition`, `${partition}\n`);
      machine.file(`${directory}/uevent`, `DEVNAME=${name}\n`);
      machine.node(name);
    }
    const found = await machine.resolver().disk({ ...whole, partition: 1 });
    expect(found).toBe(join(machine.dev, 'sda12'));
    await expect(machine.resolver(1).disk({ ...whole, partition: 3 })).rejects.toThrow(
      'partition 3',
    );
  });

  test('more than one disk at an address is an error at once', async () => {
    controller();
    machine.scsiDisk(0, 0, 'sda');
    machine.scsiDisk(0, 0, 'sdb');
    await expect(machine.resolver().disk(whole)).rejects.toThrow('2 disks: sda, sdb');
  });

  test('controllers beyond those of a host are refused by field', async () => {
    const disk = machine.resolver().disk({ ...whole, controller: 4 });
    await expect(disk).rejects.toMatchObject({ code: 'invalid-argument', field: 'Controller' });
    const unplug = machine.resolver().unplug({ controller: 200, lun: 0 });
    await expect(unplug).rejects.toMatchObject({ field: 'Controller' });
  });

  test('persistent memory by its number', async () => {
    machine.file('block/pmem3/uevent', 'DEVNAME=pmem3\n');
    machine.node('pmem3');
    expect(await machine.resolver().pmem(3)).toBe(join(machine.dev, 'pmem3'));
  });
});
