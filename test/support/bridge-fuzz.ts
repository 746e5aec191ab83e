/**
 * A host that does anything: requests of any values in any order, several at once, over bridges
 * that break. What it holds the agent to: it lives, each request has one reply a host can take, no
 * container is announced twice or unasked, and at the end all can be deleted.
 */
import { NULL_CONTAINER, RAW, type RawBridge, RawFailure, ZERO_ACTIVITY } from './raw-client.ts';
import { deleteState, negotiate, type RawProcess, type StreamChoice } from './raw-flows.ts';
import { Session, shellProcess } from './suite.ts';

/** Numbers from 0 (included) to 1 (not), the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Step = 'create' | 'start' | 'exec' | 'uvm' | 'wait' | 'signal' | 'resize' | 'properties';
type Other = 'update' | 'shutdown' | 'dump' | 'delete' | 'nonsense' | 'drop';

const IDS = ['a', 'b', 'c', 'd', 'e'];

/** How often each step is taken, relative to one another. */
const WEIGHTS: Record<Step | Other, number> = {
  create: 14,
  start: 24,
  exec: 16,
  uvm: 6,
  wait: 14,
  signal: 8,
  resize: 3,
  properties: 4,
  update: 2,
  shutdown: 2,
  dump: 1,
  delete: 4,
  nonsense: 6,
  drop: 0.4,
};

const SCRIPTS = [
  'exit 7',
  'exec sleep 1000',
  'cat',
  'head -c 300000 /dev/zero',
  'trap "" TERM; sleep 1000 & wait',
  'sleep 1000 & exit 3',
  'sleep 0.1; echo late; kill -9 $$',
  'while :; do echo line; done',
];

/** As many requests as this are under way at once. */
const WORKERS = 8;

const TYPES = Object.values(RAW).filter(
  (type) => type !== RAW.notification && type !== RAW.shutdownForced,
);

interface Count {
  done: number;
  failed: number;
}

export class Fuzz {
  readonly counts: Partial<Record<Step | Other, Count>> = {};
  readonly #random: () => number;
  #session: Session;
  /** The bridge to use is renewed while nobody sends. */
  #renewal: Promise<void> = Promise.resolve();
  readonly #pids = new Map<string, number[]>();
  readonly #open = new Set<Promise<void>>();

  constructor(session: Session, random: () => number) {
    this.#session = session;
    this.#random = random;
  }

  /** Throws when the agent does what it must not. */
  async run(durationMs: number): Promise<void> {
    const end = performance.now() + durationMs;
    await Promise.all(
      Array.from({ length: WORKERS }, async () => {
        while (performance.now() < end) await this.#step();
      }),
    );
    await this.#renewal;
    this.#session.raw.host.closeStreams();
    await this.#deleteAll();
    await Promise.all(this.#open);
    this.#judge(this.#session.bridge);
  }

  #int(below: number): number {
    return Math.floor(this.#random() * below);
  }

  #chance(of: number): boolean {
    return this.#random() < of;
  }

  #of<T>(list: readonly T[]): T {
    return list[this.#int(list.length)] as T;
  }

  async #step(): Promise<void> {
    await this.#renewal;
    const name = this.#pick();
    const count = this.counts[name] ?? { done: 0, failed: 0 };
    this.counts[name] = count;
    const { bridge } = this.#session;
    try {
      await this.#take(name);
      count.done++;
    } catch (error) {
      count.failed++;
      // A reply that says no is as good as any; so is a bridge this host closed.
      if (!(error instanceof RawFailure) && !bridge.socket.destroyed) throw error;
      if (bridge.failure && /broke the protocol/.test(bridge.failure.message)) throw error;
    }
  }

  #pick(): Step | Other {
    const entries = Object.entries(WEIGHTS) as [Step | Other, number][];
    let rest = this.#random() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of entries) {
      rest -= weight;
      if (rest < 0) return name;
    }
    return 'dump';
  }

  async #take(name: Step | Other): Promise<void> {
    const id = this.#of(IDS);
    const s = this.#session;
    if (name === 'exec' && this.#chance(0.1)) return await this.#refusedDial(id);
    switch (name) {
      case 'create':
        return await this.#create(id);
      case 'start':
        return this.#started(id, await s.startInit(id, this.#choice()));
      case 'exec':
        return this.#started(id, await s.exec(id, this.#process(), this.#choice()));
      case 'uvm':
        return await this.#uvm();
      case 'wait':
        return this.#wait(id);
      case 'signal':
        return await s.signal(this.#target(id), this.#pid(id), this.#int(70) - 2);
      case 'resize':
        return void (await s.call(RAW.resizeConsole, {
          ContainerId: this.#target(id),
          ProcessId: this.#pid(id),
          Height: this.#int(0x10000),
          Width: this.#int(0x10000),
        }));
      case 'properties':
        return void (await s.properties(id, ['ProcessList', 'Statistics', 'Unknown']));
      case 'update':
        return await this.#update(id);
      case 'shutdown':
        return void (await s.call(this.#chance(0.5) ? RAW.shutdownGraceful : RAW.shutdownForced, {
          ContainerId: id,
        }));
      case 'dump':
        return void (await s.call(RAW.dumpStacks, { ContainerId: NULL_CONTAINER }));
      case 'delete':
        return await s.delete(id);
      case 'nonsense':
        return await this.#nonsense(id);
      case 'drop':
        return await this.#drop();
    }
  }

  async #create(id: string): Promise<void> {
    const missing = this.#chance(0.1);
    await this.#session.create(id, {
      args: missing ? ['/no/such'] : this.#of(SCRIPTS),
      terminal: this.#chance(0.3),
      pidNamespace: this.#chance(0.3) ? 'none' : 'own',
      ...(this.#chance(0.1) && { cwd: '/made/for/it' }),
      ...(this.#chance(0.05) && { rootPath: '/no/such/root' }),
    });
  }

  /** Ports nobody listens on, for any step that names some. */
  async #refusedDial(id: string): Promise<void> {
    const { host } = this.#session.raw;
    await this.#session.call(RAW.executeProcess, {
      ContainerId: this.#target(id),
      Settings: {
        ProcessParameters: JSON.stringify({
          CreateStdInPipe: this.#chance(0.5),
          CreateStdOutPipe: true,
          CommandArgs: ['true'],
          ...(this.#chance(0.5) && { OciProcess: shellProcess('true') }),
        }),
        VsockStdioRelaySettings: { StdIn: host.unusedPort(), StdOut: host.unusedPort() },
      },
    });
  }

  #choice(): StreamChoice {
    return {
      stdin: this.#chance(0.5),
      stdout: this.#chance(0.7),
      stderr: this.#chance(0.5),
    };
  }

  #process(): object {
    const chance = this.#random();
    if (chance < 0.1) return shellProcess('true', { args: ['/no/such'] });
    if (chance < 0.2) return shellProcess('true', { cwd: '/no/such/directory' });
    return shellProcess(this.#of(SCRIPTS), { terminal: this.#chance(0.3) });
  }

  /** Its script ends by itself: one whose reply is lost is known to nobody. */
  async #uvm(): Promise<void> {
    const process = await this.#session.execInUvm(
      {
        CommandArgs: this.#chance(0.1) ? ['/no/such'] : ['sh', '-c', 'sleep 0.2; exit 5'],
        Environment: { PATH: '/usr/bin:/bin' },
        EmulateConsole: this.#chance(0.3),
      },
      this.#choice(),
    );
    this.#started(NULL_CONTAINER, process);
  }

  /** Reads what comes, or does not; half-closes, closes or keeps each stream. */
  #started(id: string, process: RawProcess): void {
    const pids = this.#pids.get(id) ?? [];
    pids.push(process.pid);
    this.#pids.set(id, pids.slice(-8));
    const { stdin, stdout, stderr } = process;
    if (stdin) {
      if (this.#chance(0.5)) stdin.write(Buffer.alloc(this.#int(200_000)));
      if (this.#chance(0.5)) stdin.end();
    }
    for (const stream of [stdin, stdout, stderr]) {
      if (!stream) continue;
      stream.once('end', () => stream.destroy());
      if (this.#chance(0.2)) stream.destroy();
      else if (this.#chance(0.8)) stream.resume();
    }
  }

  #pid(id: string): number {
    const pids = this.#pids.get(id);
    return pids && this.#chance(0.9) ? this.#of(pids) : this.#int(2 ** 32);
  }

  #target(id: string): string {
    return this.#chance(0.1) ? NULL_CONTAINER : id;
  }

  /** Not waited for here: its end may be that of the container. */
  #wait(id: string): void {
    const { bridge } = this.#session;
    const target = this.#target(id);
    const waiting = bridge
      .request(RAW.waitForProcess, {
        ContainerId: target,
        ActivityId: ZERO_ACTIVITY,
        ProcessId: this.#pid(target),
        TimeoutInMs: this.#chance(0.5) ? 0xffffffff : this.#int(500),
      })
      .then(
        () => {},
        (error: unknown) => {
          if (!bridge.socket.destroyed) throw error;
        },
      )
      .finally(() => this.#open.delete(waiting));
    waiting.catch(() => {});
    this.#open.add(waiting);
  }

  async #update(id: string): Promise<void> {
    await this.#session.call(RAW.modifySettings, {
      ContainerId: id,
      Request: {
        ResourceType: 'ContainerConstraints',
        RequestType: 'Update',
        Settings: { Linux: { memory: { limit: (32 + this.#int(64)) * 2 ** 20 } } },
      },
    });
  }

  /** A request of any type, each field of another's, of a wrong type or of none. */
  async #nonsense(id: string): Promise<void> {
    const values = [null, -1, 1.5, 2 ** 53, '', 'x'.repeat(5000), [], {}, true, '{"a":[', '../x'];
    const type = this.#of(TYPES.filter((one) => one !== RAW.negotiate));
    const body: Record<string, unknown> = { ContainerId: id, ActivityId: ZERO_ACTIVITY };
    const fields = [
      'ContainerId',
      'ContainerConfig',
      'ProcessId',
      'TimeoutInMs',
      'Settings',
      'Options',
      'Query',
      'Request',
      'Height',
      'ocsc',
    ];
    for (const field of fields) if (this.#chance(0.4)) body[field] = this.#of(values);
    // These would end the agent, or wait for an end that is not to come.
    if (type === RAW.shutdownGraceful) body.ContainerId = id;
    await this.#session.call(type, body);
  }

  /** Closes the bridge in the middle of what is under way and takes the next. */
  async #drop(): Promise<void> {
    const { raw } = this.#session;
    const renewed = Promise.withResolvers<void>();
    const before = this.#renewal;
    this.#renewal = renewed.promise;
    try {
      await before;
      const old = this.#session.bridge;
      this.#judge(old);
      if (this.#chance(0.5)) old.socket.destroy();
      else old.socket.end();
      await old.closed;
      const bridge = await raw.agent.orExit(raw.host.acceptBridge());
      await negotiate(bridge);
      this.#session = new Session({ ...raw, bridge });
    } finally {
      renewed.resolve();
    }
  }

  /** Over all creates there are no more ends than these. */
  #judge(bridge: RawBridge): void {
    if (bridge.failure && /broke the protocol/.test(bridge.failure.message)) throw bridge.failure;
    for (const { body } of bridge.notifications) {
      if (!IDS.includes(String(body.ContainerId))) {
        throw new Error(`notification of ${String(body.ContainerId)}, which nobody created`);
      }
    }
  }

  async #deleteAll(): Promise<void> {
    const { bridge, raw } = this.#session;
    for (const id of IDS) {
      for (;;) {
        const reply = await raw.agent.orExit(
          deleteState(bridge, id).then(
            () => undefined,
            (error: unknown) => {
              if (error instanceof RawFailure) return error;
              throw error;
            },
          ),
        );
        if (reply === undefined || reply.hresult === 0xc037010e) break;
        // Running, or a create whose bridge broke is still under way.
        await this.#session.call(RAW.shutdownForced, { ContainerId: id }).catch((error) => {
          if (!(error instanceof RawFailure)) throw error;
        });
      }
    }
  }
}
