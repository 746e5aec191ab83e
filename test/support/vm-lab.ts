import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { cgroupMounts } from '../../src/cgroup/hierarchy.ts';
import { type LogFields, type Logger, silentLogger } from '../../src/log/logger.ts';
import type { DescriptorStore } from '../../src/os/descriptor-store.ts';
import { Reaper } from '../../src/os/reaper.ts';
import { socketPair, toDuplex } from '../../src/os/socket.ts';
import { RuncRuntime, type RuncRuntimeOptions } from '../../src/runtime/runc/runtime.ts';
import type { Runtime } from '../../src/runtime/runtime.ts';
import type { OciSpec } from '../../src/spec/oci.ts';
import { defaultDrainPolicy } from '../../src/stdio/limits.ts';
import type { ManagementOperations, StreamConnections } from '../../src/uvm/management.ts';
import type { RuntimeCatalogue } from '../../src/uvm/runtime-catalogue.ts';
import { Uvm } from '../../src/uvm/uvm.ts';
import { FdConnection } from '../../src/vsock/connection.ts';
import { DevNullTransport } from '../../src/vsock/dev-null.ts';
import { makeSpec, type SpecOptions } from './bundle.ts';
import { leftovers, takeCensus } from './census.ts';
import { removeCgroups } from './cgroup-tree.ts';
import { makeRootfs } from './rootfs.ts';

/** The model of a VM with real containers, without a bridge or a door: everything of its own, so that what is left can be counted. */
export class VmLab {
  readonly directory = mkdtempSync('/tmp/vm-lab-');
  readonly rootfs = makeRootfs(join(this.directory, 'rootfs'));
  readonly reaper = Reaper.start();
  /** What was logged at level warning and error. */
  readonly complaints: { message: string; fields: LogFields | undefined }[] = [];
  uvm!: Uvm;
  management!: ManagementOperations;
  #before: ReturnType<typeof takeCensus> | undefined;

  readonly logger: Logger = this.#logger();

  #logger(): Logger {
    const note = (message: string, fields?: LogFields): void => {
      this.complaints.push({ message, fields });
    };
    const logger: Logger = { ...silentLogger, warning: note, error: note, with: () => logger };
    return logger;
  }

  /** A runtime on the lab's own places. */
  runtime(options: Partial<RuncRuntimeOptions> = {}): Runtime {
    const { reaper, logger } = this;
    const name = options.name ?? 'runc';
    return new RuncRuntime({
      reaper,
      logger,
      root: join(this.directory, `book-${name}`),
      stateRoot: join(this.directory, 'state'),
      ...options,
    });
  }

  /** A VM anew. */
  async open(runtimes?: RuntimeCatalogue, store?: DescriptorStore): Promise<void> {
    const trusted = runtimes?.all.get(runtimes.trusted) ?? this.runtime();
    this.uvm = new Uvm({
      runtime: trusted,
      transport: new DevNullTransport(),
      reaper: this.reaper,
      logger: this.logger,
      drainPolicy: defaultDrainPolicy,
      power: { shutdown: () => Promise.resolve() },
      bundles: join(this.directory, 'bundles'),
      ...(runtimes === undefined ? {} : { runtimes }),
      ...(store === undefined ? {} : { store }),
    });
    this.management = await this.uvm.management();
  }

  spec(options: SpecOptions): OciSpec {
    return makeSpec({ rootPath: this.rootfs, ...options });
  }

  /** Creates and starts a container. */
  async run(id: string, options: SpecOptions, streams?: StreamConnections): Promise<void> {
    await this.management.create({ id, spec: this.spec(options) });
    await this.management.start(id, streams === undefined ? {} : { streams });
  }

  async begin(): Promise<void> {
    this.complaints.length = 0;
    this.#before = takeCensus(this.#scope());
    await this.open();
  }

  /** Ends the VM and requires that nothing of it is left. */
  async finish(): Promise<void> {
    await this.uvm.destroy();
    const before = this.#before;
    if (before === undefined) throw new Error('begin() was not called');
    await expect
      .poll(() => leftovers(before, takeCensus(this.#scope())).filter(ours), { timeout: 5_000 })
      .toEqual([]);
  }

  #scope() {
    const directories = ['book-runc', 'state', 'bundles'].map((name) => join(this.directory, name));
    return { directories, cgroups: this.cgroups };
  }

  /** Where the containers of a VM have theirs. */
  get cgroups(): string[] {
    return cgroupMounts()
      .filter((mount) => mount.root === '/')
      .map((mount) => join(mount.mountPoint, 'pods'));
  }

  [Symbol.dispose](): void {
    this.reaper[Symbol.dispose]();
    removeCgroups(this.cgroups);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Machine-wide state is left to others. */
function ours(line: string): boolean {
  return !line.startsWith('state in /run/');
}

/** A lab for the tests of a file, with a VM anew for each test; after it nothing may be left. */
export function useVmLab(): { readonly lab: VmLab } {
  const suite = {} as { lab: VmLab };
  beforeAll(async () => {
    suite.lab = new VmLab();
    await suite.lab.runtime().list(); // What the runtime makes when first run is no leftover.
  });
  afterAll(() => suite.lab[Symbol.dispose]());
  beforeEach(() => suite.lab.begin());
  afterEach(() => suite.lab.finish());
  return suite;
}

/** A connection with the client's end of it. */
export function connection(): { connection: FdConnection; client: Duplex } {
  const [agent, client] = socketPair();
  return { connection: new FdConnection(agent, 0, 'test'), client: toDuplex(client) };
}

/** All three connections of a process, or those named, with the clients' ends. */
export function streams(...names: ('stdin' | 'stdout' | 'stderr')[]) {
  const clients: Partial<Record<'stdin' | 'stdout' | 'stderr', Duplex>> = {};
  const connections: StreamConnections = {};
  for (const name of names) {
    const pair = connection();
    connections[name] = pair.connection;
    clients[name] = pair.client;
  }
  return { connections, clients };
}

/** What comes until the end; the client closes then, as a host does. */
export async function readToEnd(client: Duplex | undefined): Promise<string> {
  if (client === undefined) throw new Error('there is no such stream');
  const all = await text(client);
  client.end();
  return all;
}

/** Reads until `wanted` has come. */
export async function readUntil(client: Duplex | undefined, wanted: string): Promise<string> {
  if (client === undefined) throw new Error('there is no such stream');
  let seen = '';
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const onData = (chunk: Buffer): void => {
    seen += chunk.toString();
    if (seen.includes(wanted)) resolve(seen);
  };
  const onEnd = (): void => reject(new Error(`ended after ${JSON.stringify(seen)}`));
  client.on('data', onData).on('end', onEnd).resume();
  try {
    return await promise;
  } finally {
    // What comes meanwhile waits for the next reader.
    client.pause().off('data', onData).off('end', onEnd);
  }
}
