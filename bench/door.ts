/** An agent whose management door is measured, and containers made through it. */
import {
  connectManagement,
  type ManagedProcess,
  type ManagementClient,
} from '../src/client/management/index.ts';
import type { RawAgent } from '../test/support/agent-process.ts';
import { makeSpec } from '../test/support/bundle.ts';
import { freshId, type MeasureContext, startSubject } from './subject.ts';

/** Containers made at one time: enough to keep the processors busy. */
const AT_ONCE = 4;

export class Door implements AsyncDisposable {
  readonly raw: RawAgent;
  readonly client: ManagementClient;

  private constructor(raw: RawAgent, client: ManagementClient) {
    this.raw = raw;
    this.client = client;
  }

  /** Starts an agent and connects to its door. */
  static async open(context: MeasureContext): Promise<Door> {
    const raw = await startSubject(context.subject);
    try {
      return new Door(raw, await connectManagement(raw.host.path));
    } catch (error) {
      await raw[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    await this.raw[Symbol.asyncDispose]();
  }
}

/** Creates a container that sleeps when it is started; resolves with its id and init's pid. */
export async function createOne(
  client: ManagementClient,
  { rootfs }: Pick<MeasureContext, 'rootfs'>,
): Promise<{ id: string; pid: number }> {
  const id = freshId();
  const spec = makeSpec({
    args: ['sleep', '1000'],
    rootPath: rootfs,
    cgroupsPath: `/containers/${id}`,
  });
  const { pid } = await client.call('container.create', { id, spec });
  return { id, pid };
}

export async function removeOne(client: ManagementClient, id: string): Promise<void> {
  await client.call('container.delete', { id, force: true });
}

/** Does a work `count` times, some of it at one time. */
export async function several<T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      results[index] = await work(index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, worker));
  return results;
}

/** Starts `sleep` in a container, with no streams. */
export function execSleep(client: ManagementClient, id: string): Promise<ManagedProcess> {
  return client.exec(id, makeSpec({ args: ['sleep', '1000'] }).process ?? {});
}
