import type { OciLinuxResources, OciProcess } from '../spec/oci.ts';
import type { RpcOptions } from './bridge.ts';
import { BridgeError, GuestError } from './errors.ts';
import { execute, type GuestContext, streamNames } from './execute.ts';
import type { ContainerExit } from './notifications.ts';
import { GuestProcess } from './process.ts';
import type { GuestStatistics } from './statistics.ts';
import type { StreamOptions } from './stdio.ts';

/** HRESULTs of a container that has ended or is gone already; nothing is left to shut down. */
const NOT_RUNNING: readonly number[] = [0xc037010e, 0x80370110];
const NOT_FOUND = 0xc037010e;

/**
 * A container in the guest. Disposing of one that this client created kills it when it runs, waits
 * for its end and deletes it; one of an earlier host is left as it is.
 */
export class GuestContainer implements AsyncDisposable {
  readonly id: string;
  /** Settles with the guest's notification; rejects with BridgeError when the bridge goes first. */
  readonly exited: Promise<ContainerExit>;
  readonly #context: GuestContext;
  readonly #terminal: boolean;
  readonly #owned: boolean;
  #init: GuestProcess | undefined;
  #deleted = false;

  constructor(
    context: GuestContext,
    identity: { id: string; terminal: boolean; owned: boolean },
    exited: Promise<ContainerExit>,
  ) {
    this.#context = context;
    this.id = identity.id;
    this.#terminal = identity.terminal;
    this.#owned = identity.owned;
    this.exited = exited;
  }

  /** The init process, once start() has resolved. */
  get init(): GuestProcess | undefined {
    return this.#init;
  }

  /** Starts the init process with these streams. Everything else of it was in the specification. */
  async start(streams: StreamOptions = {}, options: RpcOptions = {}): Promise<GuestProcess> {
    const { bridge } = this.#context;
    await bridge.rpc('Start', { ContainerId: this.id }, options);
    const names = streamNames(streams, this.#terminal);
    this.#init = await execute(this.#context, this.id, {}, names, options);
    return this.#init;
  }

  /** Runs another process in the container. */
  async exec(
    process: OciProcess,
    streams: StreamOptions = {},
    options: RpcOptions = {},
  ): Promise<GuestProcess> {
    const names = streamNames(streams, process.terminal ?? false);
    return execute(this.#context, this.id, { OciProcess: process }, names, options);
  }

  /** A process of the container that is known by its pid, without its streams. */
  process(pid: number): GuestProcess {
    return new GuestProcess(this.#context.bridge, { pid, containerId: this.id });
  }

  /** SIGTERM ('graceful') or SIGKILL to the container; resolves when it is sent. False when it had ended. */
  async shutdown(how: 'graceful' | 'forced', options: RpcOptions = {}): Promise<boolean> {
    const name = how === 'graceful' ? 'ShutdownGraceful' : 'ShutdownForced';
    try {
      await this.#context.bridge.rpc(name, { ContainerId: this.id }, options);
      return true;
    } catch (error) {
      if (error instanceof GuestError && NOT_RUNNING.includes(error.hresult)) return false;
      throw error;
    }
  }

  /** Pids in the guest of the container's processes. */
  async processes(options: RpcOptions = {}): Promise<{ pid: number }[]> {
    const properties = await this.#properties('ProcessList', options);
    return properties.ProcessList.map((process) => ({ pid: process.ProcessId }));
  }

  /** cgroup figures; fields that are zero are left out. */
  async stats(options: RpcOptions = {}): Promise<GuestStatistics> {
    const properties = await this.#properties('Statistics', options);
    return (properties.LCOWMetrics ?? {}) as GuestStatistics;
  }

  /** Changes the container's limits; what is not named stays as it is. */
  async update(resources: OciLinuxResources, options: RpcOptions = {}): Promise<void> {
    await this.#context.bridge.rpc(
      'ModifySettings',
      {
        ContainerId: this.id,
        Request: {
          RequestType: 'Update',
          ResourceType: 'ContainerConstraints',
          Settings: { Linux: resources },
        },
      },
      options,
    );
  }

  /** Deletes the container, its bundle and scratch directory. GuestError 0x80370105 while it runs. */
  async delete(options: RpcOptions = {}): Promise<void> {
    await this.#context.bridge.rpc('DeleteContainerState', { ContainerId: this.id }, options);
    this.#deleted = true;
    this.#context.containers.deleted(this.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Its end is the container's: what else runs in it ends with its init.
    await this.#init?.[Symbol.asyncDispose]();
    if (!this.#owned || this.#deleted || this.#context.bridge.failure !== undefined) return;
    try {
      await this.delete();
    } catch (error) {
      // Deleted by somebody else in the meantime, or gone with the guest: that is what was wanted.
      if (error instanceof GuestError && error.hresult === NOT_FOUND) return;
      if (error instanceof BridgeError && this.#context.bridge.failure !== undefined) return;
      throw error;
    }
  }

  async #properties(type: 'ProcessList' | 'Statistics', options: RpcOptions) {
    const { bridge } = this.#context;
    const request = { ContainerId: this.id, Query: { PropertyTypes: [type] } };
    const reply = await bridge.rpc('GetProperties', request, options);
    if (reply.Properties === undefined) {
      throw bridge.breach('the reply to GetProperties has no Properties');
    }
    return reply.Properties;
  }
}
