import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { HotplugSession } from './hotplug.ts';
import { hotplugLimits } from './limits.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-hotplug-'));
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(directory, { recursive: true, force: true });
});

const path = (): string => join(directory, 'qmp');

/** As much of QEMU as sees devices come and go. */
class Machine implements AsyncDisposable {
  readonly devices = new Map<string, { lun?: number }>([['scsi0', {}]]);
  readonly nodes = new Set<string>();
  readonly log: string[] = [];
  refuse: string | undefined;
  /** The guest gives up no device. */
  keeps = false;
  readonly #server: net.Server;
  readonly #clients = new Set<net.Socket>();

  constructor() {
    this.#server = net.createServer((client) => this.#serve(client)).listen(path());
  }

  #serve(client: net.Socket): void {
    this.#clients.add(client);
    client.on('error', () => {}).write('{"QMP":{}}\n');
    let text = '';
    client.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (text + chunk).split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) this.#answer(client, JSON.parse(line));
    });
  }

  #answer(client: net.Socket, { execute, arguments: args = {}, id }: Request): void {
    this.log.push(execute);
    const tell = (message: object): void => void client.write(`${JSON.stringify(message)}\n`);
    if (execute === this.refuse) {
      tell({ id, error: { class: 'GenericError', desc: 'not today' } });
      return;
    }
    // The event comes before the answer, as it does for devices that need no guest.
    if (execute === 'device_del' && !this.keeps)
      tell({ event: 'DEVICE_DELETED', data: { device: args.id } });
    tell({ id, return: this.#do(execute, args) });
  }

  #do(execute: string, args: Record<string, string>): unknown {
    const device = this.devices.get((args.path ?? '').replace('/machine/peripheral/', ''));
    if (execute === 'qom-list' && device === undefined) {
      return [...this.devices.keys()].map((name) => ({ name, type: 'child<x>' }));
    }
    if (execute === 'qom-list')
      return device?.lun === undefined ? [] : [{ name: 'lun', type: 'u' }];
    if (execute === 'qom-get') return device?.lun;
    if (execute === 'blockdev-add') this.nodes.add(args['node-name'] ?? '');
    if (execute === 'blockdev-del') this.nodes.delete(args['node-name'] ?? '');
    if (execute === 'device_add') this.devices.set(args.id ?? '', { lun: Number(args.lun) });
    if (execute === 'device_del') this.devices.delete(args.id ?? '');
    return {};
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

interface Request {
  execute: string;
  arguments?: Record<string, string>;
  id: number;
}

const file = { path: '/disk', readOnly: true };

test('disks get the lowest places that nobody has, whoever plugged in the others', async () => {
  await using machine = new Machine();
  machine.devices.set('somebody', { lun: 1 });
  await using session = await HotplugSession.open(path());
  const places = [await session.plug(file), await session.plug(file), await session.plug(file)];
  expect(places.map(({ lun }) => lun)).toEqual([0, 2, 3]);
  const [, second] = places;
  if (second !== undefined) await session.unplug(second);
  expect(await session.plug(file)).toEqual({ controller: 0, lun: 2 });
  expect(machine.nodes.size).toBe(3);
});

test('a disk the machine does not take leaves no block node', async () => {
  await using machine = new Machine();
  machine.refuse = 'device_add';
  await using session = await HotplugSession.open(path());
  await expect(session.plug(file)).rejects.toMatchObject({
    code: 'refused',
    message: 'QEMU: not today',
  });
  expect(machine.nodes.size).toBe(0);
});

test('a VM without the controller, and one whose places are all taken, say so', async () => {
  await using machine = new Machine();
  for (let lun = 0; lun < 256; lun++) machine.devices.set(`d${lun}`, { lun });
  await using session = await HotplugSession.open(path());
  await expect(session.plug(file)).rejects.toThrow('all 256 places');
  machine.devices.clear();
  await expect(session.plug(file)).rejects.toThrow('no SCSI controller');
});

test('a VM that ends while a disk is taken away', async () => {
  await using machine = new Machine();
  await using session = await HotplugSession.open(path());
  const disk = await session.plug(file);
  const unplugged = session.unplug(disk);
  await machine[Symbol.asyncDispose]();
  await expect(unplugged).rejects.toMatchObject({ code: 'ended' });
});

test('a session that was given up before it began fails with the reason alone', async () => {
  await using _machine = new Machine();
  await expect(HotplugSession.open(path(), AbortSignal.abort(new Error('early')))).rejects.toThrow(
    'early',
  );
});

test('waiting for QEMU, which serves another client, can be given up', async () => {
  const abort = new AbortController();
  const server = net.createServer(() => abort.abort(new Error('enough'))).listen(path());
  await expect(HotplugSession.open(path(), abort.signal)).rejects.toThrow('enough');
  server.close();
});

const { hotplugMs } = hotplugLimits;
const fakeTimers = (): unknown => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });

test('a QEMU that serves another client all the while is given up after its time', async () => {
  fakeTimers();
  const connected = Promise.withResolvers<void>();
  const server = net.createServer(() => connected.resolve()).listen(path());
  const opened = HotplugSession.open(path());
  const refused = expect(opened).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining('another program holds'),
  });
  await connected.promise;
  vi.advanceTimersByTime(hotplugMs);
  await refused;
  server.close();
});

test('a disk that the guest does not give up is told after its time, and stays known', async () => {
  await using machine = new Machine();
  await using session = await HotplugSession.open(path());
  const disk = await session.plug(file);
  machine.keeps = true;
  fakeTimers();
  const refused = expect(session.unplug(disk)).rejects.toThrow(
    `the guest did not give up the disk at lun 0 within ${hotplugMs} ms`,
  );
  while (!machine.log.includes('device_del')) await new Promise(setImmediate);
  // The answer to the command starts the wait for the guest.
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
  vi.advanceTimersByTime(hotplugMs);
  await refused;
  expect(machine.nodes.size).toBe(1);
});
