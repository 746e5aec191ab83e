/** Tests of the management door: an agent with its host, and clients of the door beside it. */
import { randomBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';
import {
  connectManagement,
  type ManagedProcess,
  type ManagementClient,
  ManagementRequestError,
  type WantedStreams,
} from '../../src/client/management/index.ts';
import type { ParamsInput } from '../../src/management/contract.ts';
import type { AgentOptions } from './agent-process.ts';
import type { SpecOptions } from './bundle.ts';
import { type Session, shellProcess, spec, withSession } from './suite.ts';

/** Milliseconds: where a VM is interpreted, the first client waits for code to be loaded. */
const CONNECT_MS = 60_000;

export type CreateOptions = Partial<Omit<ParamsInput<'container.create'>, 'id' | 'spec'>>;

/** One client of the door, and steps of a container's life as methods. */
export class Managed {
  readonly client: ManagementClient;
  /** The bridge of the same agent. */
  readonly session: Session;
  readonly path: string;

  constructor(client: ManagementClient, session: Session, path: string) {
    this.client = client;
    this.session = session;
    this.path = path;
  }

  get call(): ManagementClient['call'] {
    return this.client.call.bind(this.client);
  }

  /** Another client of the same door. */
  connect(): Promise<ManagementClient> {
    return connectManagement(this.path, { timeoutMs: CONNECT_MS });
  }

  create(id: string, options: SpecOptions, extra: CreateOptions = {}) {
    return this.call('container.create', { id, spec: spec(options), ...extra });
  }

  /** Creates and starts a container. */
  async run(
    id: string,
    options: SpecOptions,
    wanted: WantedStreams = {},
    extra: CreateOptions = {},
  ): Promise<ManagedProcess> {
    await this.create(id, options, extra);
    return this.client.start(id, wanted);
  }

  /** A shell script in a container, to its end. */
  async sh(
    id: string,
    script: string,
  ): Promise<{ stdout: string; stderr: string; exitCode: number }> {
    const process = await this.client.exec(id, shellProcess(script), {
      stdout: true,
      stderr: true,
    });
    return finish(process);
  }

  /** Kills a container and deletes it. */
  async remove(id: string): Promise<void> {
    await this.call('container.delete', { id, force: true });
  }
}

/** Output and exit code of a process that gets no input. */
export async function finish(process: ManagedProcess) {
  process.stdin?.end();
  const [stdout, stderr, exit] = await Promise.all([
    process.stdout === undefined ? '' : text(process.stdout),
    process.stderr === undefined ? '' : text(process.stderr),
    process.wait(),
  ]);
  return { stdout, stderr, exitCode: exit.exitCode };
}

/** Code of the error a request ended with. */
export async function codeOf(request: Promise<unknown>): Promise<string> {
  try {
    await request;
  } catch (error) {
    if (error instanceof ManagementRequestError) return error.code;
    throw error;
  }
  return 'no error';
}

/** An id no other test has. */
export function freshId(name: string): string {
  return `${name}-${randomBytes(4).toString('hex')}`;
}

/** Like withSession, with a client of the management door. */
export function withManagement(
  body: (managed: Managed) => Promise<void>,
  options: AgentOptions & { negotiate?: boolean } = {},
): Promise<void> {
  return withSession(async (session) => {
    const { path } = session.raw.host;
    await using client = await connectManagement(path, { timeoutMs: CONNECT_MS });
    await session.raw.agent.orExit(body(new Managed(client, session, path)));
  }, options);
}
