import { setTimeout as delay } from 'node:timers/promises';
import {
  connectManagement,
  type ManagementClient,
  ManagementConnectionError,
  ManagementRequestError,
} from '../../client/management/index.ts';

/**
 * Milliseconds between attempts to reach an agent that is being started anew. The file of its socket
 * tells nothing of when it can be reached: bind(2) makes it before listen(2), the door opens after
 * that, and a VM's belongs to the device, which outlives the agent.
 */
const AGAIN_MS = 100;
/** An agent that has not come back by then does not come back. */
const ATTEMPTS = 600;
/** Of a process whose end nobody can tell. */
const UNKNOWN = 255;
/** Of a container that was deleted before it was started: its init was killed. */
const KILLED = 137;

/** A client of the agent that connects again when the agent was started anew. */
export class SteadyClient implements AsyncDisposable {
  readonly #agent: string;
  #client: Promise<ManagementClient> | undefined;

  constructor(agent: string) {
    this.#agent = agent;
  }

  /** The client of now. Rejects when there is no agent. */
  async current(): Promise<ManagementClient> {
    const client = await this.#client?.catch(() => undefined);
    if (client !== undefined && client.connection.failure === undefined) return client;
    this.#client = connectManagement(this.#agent, { client: { name: 'gcs-oci' } });
    return this.#client;
  }

  /**
   * How a process ended, however often the agent ends meanwhile: containers outlive it, and the
   * next agent knows of them.
   */
  async exitCode(target: { containerId: string; processId: string }): Promise<number> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      try {
        const client = await this.current();
        attempt = 0;
        const { exitCode } = await client.call('process.wait', target);
        return exitCode;
      } catch (error) {
        if (error instanceof ManagementRequestError) return endOf(error);
        if (!(error instanceof ManagementConnectionError)) throw error;
        await delay(AGAIN_MS);
      }
    }
    return UNKNOWN;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    client?.close();
  }
}

function endOf(error: ManagementRequestError): number {
  const gone = error.code === 'container-not-found' || error.code === 'process-not-found';
  if (gone) return KILLED;
  process.stderr.write(`gcs-oci: ${error.message}\n`);
  return UNKNOWN;
}
