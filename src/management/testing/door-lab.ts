/** The door on an emulated vsock, in front of operations that a test makes up. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connectManagement, type ManagementClient } from '../../client/management/index.ts';
import { AgentError } from '../../errors.ts';
import { silentLogger } from '../../log/logger.ts';
import type {
  ContainerState,
  EventPosition,
  LifecycleEvent,
  ManagementOperations,
} from '../../uvm/management.ts';
import { EmulatedHost } from '../../vsock/emulator/host.ts';
import { HybridTransport } from '../../vsock/hybrid.ts';
import { MANAGEMENT_PORT, MANAGEMENT_STREAM_PORT } from '../../vsock/ports.ts';
import { ManagementDoor } from '../door.ts';
import { ManagementServer } from '../server.ts';

export type FakeOperations = Partial<ManagementOperations>;

/** Every operation nobody made up fails. */
function fakeOperations(given: FakeOperations): ManagementOperations {
  const log = new FakeEvents();
  const all = { runtimes: async () => [], subscribe: log.subscribe.bind(log), ...given };
  return new Proxy(all, {
    get: (target, name) =>
      Reflect.get(target, name) ??
      (async () => {
        throw new AgentError('not-supported', `no ${String(name)}`);
      }),
  }) as unknown as ManagementOperations;
}

/** A log of events that keeps the last `keep` of them. */
export class FakeEvents {
  readonly epoch = 'epoch-1';
  readonly #keep: number;
  #next = 1;
  #kept: LifecycleEvent[] = [];
  readonly #receivers = new Set<(event: LifecycleEvent) => void>();

  constructor(keep = 100) {
    this.#keep = keep;
  }

  get receivers(): number {
    return this.#receivers.size;
  }

  emit(containerId: string): void {
    const event = { sequence: this.#next, kind: 'create', at: 0, containerId } as const;
    this.#next += 1;
    this.#kept = [...this.#kept, event].slice(-this.#keep);
    for (const receiver of [...this.#receivers]) receiver(event);
  }

  subscribe(position: EventPosition | undefined, receiver: (event: LifecycleEvent) => void) {
    const oldest = this.#kept[0]?.sequence ?? this.#next;
    const other = position !== undefined && position.epoch !== this.epoch;
    const wanted = other ? oldest : (position?.sequence ?? this.#next);
    const next = Math.max(wanted, oldest);
    const lost = next > wanted ? { from: wanted, to: next - 1 } : undefined;
    for (const event of this.#kept) if (event.sequence >= next) receiver(event);
    this.#receivers.add(receiver);
    return {
      epoch: this.epoch,
      next,
      gap: other ? ('other-epoch' as const) : lost,
      [Symbol.dispose]: () => void this.#receivers.delete(receiver),
    };
  }
}

export function stateOf(id: string): ContainerState {
  return {
    id,
    status: 'running',
    pid: 7,
    startTime: 1,
    bundle: '/b',
    runtime: 'runc',
    terminal: false,
    createdAt: 0,
    annotations: {},
  };
}

export class DoorLab implements AsyncDisposable {
  readonly path: string;
  readonly server: ManagementServer;
  loads = 0;
  readonly #directory = mkdtempSync(join(tmpdir(), 'gcs-door-'));
  readonly #guest: HybridTransport;
  readonly #host: EmulatedHost;
  #door: ManagementDoor | undefined;

  private constructor(operations: FakeOperations) {
    this.path = join(this.#directory, 'v');
    this.#guest = new HybridTransport(this.path);
    this.#host = new EmulatedHost(this.path);
    this.server = new ManagementServer({
      operations: fakeOperations(operations),
      log: silentLogger,
      logLevel: { get: () => 'info', set: () => {} },
      describe: () => ['a section'],
      facts: { version: '0', transport: 'test', ownMachine: false },
    });
  }

  static async open(operations: FakeOperations = {}): Promise<DoorLab> {
    const lab = new DoorLab(operations);
    lab.#door = await ManagementDoor.open({
      transport: lab.#guest,
      log: silentLogger,
      load: async () => {
        lab.loads += 1;
        return lab.server;
      },
    });
    return lab;
  }

  connect(): Promise<ManagementClient> {
    return connectManagement(this.path);
  }

  /** A connection to the port for clients, with nothing said. */
  async raw(): Promise<Duplex> {
    return (await this.#host.dial(MANAGEMENT_PORT)).stream();
  }

  /** A connection to the port for streams, with nothing said. */
  async rawStream(): Promise<Duplex> {
    return (await this.#host.dial(MANAGEMENT_STREAM_PORT)).stream();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#door?.[Symbol.asyncDispose]();
    await this.#guest[Symbol.asyncDispose]();
    await this.#host[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** One message as bytes. */
export function message(value: unknown): string {
  const body = JSON.stringify(value);
  return `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

export function request(id: unknown, method: string, params?: unknown): string {
  return message({ jsonrpc: '2.0', id, method, params });
}

/** Bodies of the messages in a text. */
export function bodiesIn(text: string): Record<string, unknown>[] {
  return text
    .split(/Content-Length: \d+\r\n\r\n/)
    .filter((body) => body !== '')
    .map((body) => JSON.parse(body) as Record<string, unknown>);
}
