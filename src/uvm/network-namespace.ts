import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { FindOptions } from '../network/find-adapter.ts';
import { networkLimits } from '../network/limits.ts';
import type { Placement } from '../network/placement.ts';
import type { AdapterConfig } from '../network/settings.ts';
import type { Fd } from '../os/fd.ts';
import type { DnsConfig } from '../spec/etc-files.ts';
import { SharedLock } from './shared-lock.ts';

/** A container that is to have the namespace's adapters. */
export interface NetworkUser {
  /** Of its init, which has not been collected: the pid is nobody else's. */
  readonly pid: number;
  /** The end of its init. */
  readonly exited: Promise<unknown>;
  /** Name resolution has changed since the container was planned. */
  readonly dnsChanged: (dns: DnsConfig) => void;
}

interface Adapter {
  readonly config: AdapterConfig;
  /** Ends what waits for the adapter: its link, or a DHCP server. */
  readonly end: AbortController;
  placement?: Placement;
}

interface Attachment {
  readonly user: NetworkUser;
  /** Of the container's network namespace. */
  readonly namespace: Fd;
  readonly atHome: boolean;
  readonly end: AbortController;
}

function cancelled(message: string): AgentError {
  return new AgentError('cancelled', message, { operation: 'network' });
}

/**
 * A network namespace as the host names it: adapters, and the container they belong to, in
 * whatever order they come. Adapters of a container without a network namespace of its own are
 * configured where they are.
 */
export class NetworkNamespace {
  readonly id: string;
  readonly #log: Logger;
  readonly #find: FindOptions;
  /** Placing and removing happen one after the other. */
  readonly #lock = new SharedLock();
  readonly #adapters: Adapter[] = [];
  /** Their links are being waited for. */
  readonly #coming = new Map<string, Adapter>();
  #attachment: Attachment | undefined;

  constructor(id: string, log: Logger, find: FindOptions) {
    this.id = id;
    this.#log = log.with({ namespaceId: id });
    this.#find = find;
  }

  /** Nothing would be lost if it were forgotten. */
  get unused(): boolean {
    const adapters = this.#adapters.length + this.#coming.size;
    return adapters === 0 && this.#attachment === undefined;
  }

  /** Name resolution by all its adapters together, in their order. */
  get dns(): DnsConfig {
    const sources = this.#adapters.flatMap(({ config, placement }) => [config, placement?.dns]);
    return {
      searches: [...new Set(sources.flatMap((source) => source?.searches ?? []))],
      servers: [...new Set(sources.flatMap((source) => source?.servers ?? []))],
    };
  }

  describe(): string {
    const adapters = this.#adapters.map(
      ({ config, placement }) => `${config.id}${placement === undefined ? '' : ' placed'}`,
    );
    const pid = this.#attachment?.user.pid ?? 'none';
    return `${this.id}  pid ${pid}  adapters: ${adapters.join(', ') || 'none'}`;
  }

  /** Resolves when the adapter is there, and in the container if there is one. Rejects with AgentError; then it is as before. */
  async add(config: AdapterConfig): Promise<void> {
    this.#checkNew(config);
    const adapter: Adapter = { config, end: new AbortController() };
    this.#coming.set(config.id, adapter);
    try {
      const { findAdapter } = await import('../network/find-adapter.ts');
      await findAdapter(config, { ...this.#find, signal: adapter.end.signal });
      await this.#lock.exclusive(async () => {
        adapter.end.signal.throwIfAborted();
        this.#adapters.push(adapter);
        try {
          if (this.#attachment !== undefined) await this.#place(adapter, this.#attachment);
        } catch (error) {
          this.#adapters.splice(this.#adapters.indexOf(adapter), 1);
          throw error;
        }
      });
    } finally {
      this.#coming.delete(config.id);
    }
    this.#tellDns();
  }

  /** Never fails: what cannot be undone is logged. An adapter there is not is no error. */
  async remove(adapterId: string): Promise<void> {
    const reason = cancelled(`adapter ${adapterId} was removed`);
    this.#coming.get(adapterId)?.end.abort(reason);
    this.#adapters.find(({ config }) => config.id === adapterId)?.end.abort(reason);
    await this.#lock.exclusive(async () => {
      const index = this.#adapters.findIndex(({ config }) => config.id === adapterId);
      if (index < 0) return;
      const [adapter] = this.#adapters.splice(index, 1);
      if (adapter !== undefined) this.#takeBack(adapter);
    });
    this.#tellDns();
  }

  /**
   * Gives a container the adapters, those there are and those to come, until its init ends: all or
   * none. Rejects with AgentError.
   */
  attach(user: NetworkUser): Promise<void> {
    return this.#lock.exclusive(async () => {
      const attachment = await this.#claim(user);
      void user.exited.then(() => this.#detach(attachment));
      try {
        for (const adapter of this.#adapters) await this.#place(adapter, attachment);
      } catch (error) {
        for (const adapter of this.#adapters) this.#takeBack(adapter);
        this.#release(attachment);
        throw error;
      }
      this.#tellDns();
    });
  }

  /** Ends every wait for an adapter, and takes the adapters from the container. */
  async close(): Promise<void> {
    const reason = cancelled('the agent ends');
    for (const { end } of this.#coming.values()) end.abort(reason);
    if (this.#attachment !== undefined) await this.#detach(this.#attachment);
  }

  #checkNew({ id }: AdapterConfig): void {
    if (this.#coming.has(id) || this.#adapters.some(({ config }) => config.id === id)) {
      throw new AgentError('failed', `adapter with id: '${id}' already present in namespace`, {
        operation: 'network',
        field: 'Request.Settings.ID',
      });
    }
    if (this.#adapters.length + this.#coming.size >= networkLimits.adaptersPerNamespace) {
      throw new AgentError(
        'limit',
        `more than ${networkLimits.adaptersPerNamespace} adapters in namespace '${this.id}'`,
        { operation: 'network' },
      );
    }
  }

  /** Under the lock. What only containers with adapters need is loaded with the first of them. */
  async #claim(user: NetworkUser): Promise<Attachment> {
    if (this.#attachment !== undefined) {
      throw new AgentError(
        'failed',
        `previously assigned container pid ${this.#attachment.user.pid} to network namespace "${this.id}"`,
        { operation: 'network' },
      );
    }
    try {
      const { openNetworkNamespace } = await import('../os/netlink.ts');
      const { isHome } = await import('../network/ground.ts');
      const namespace = openNetworkNamespace(user.pid);
      const atHome = isHome(namespace);
      this.#attachment = { user, namespace, atHome, end: new AbortController() };
      return this.#attachment;
    } catch (error) {
      throw AgentError.from(error, { operation: 'network' });
    }
  }

  async #place(adapter: Adapter, attachment: Attachment): Promise<void> {
    const { config } = adapter;
    // With policy routing the first adapter is the preferred one.
    const later = this.#adapters.indexOf(adapter) > 0;
    const { placeAdapter } = await import('../network/placement.ts');
    adapter.placement = await placeAdapter({
      config,
      lowMetric: config.policyBasedRouting ? later : config.lowMetric,
      namespace: attachment.namespace,
      find: this.#find,
      log: this.#log.with({ adapterId: config.id }),
      signal: AbortSignal.any([adapter.end.signal, attachment.end.signal]),
      dnsChanged: () => this.#tellDns(),
    });
    this.#log.info('network adapter configured', { adapterId: config.id });
  }

  #takeBack(adapter: Adapter): void {
    const { placement } = adapter;
    delete adapter.placement;
    try {
      for (const error of placement?.remove() ?? []) this.#undoFailed(adapter, error);
    } catch (error) {
      this.#undoFailed(adapter, error);
    }
  }

  #undoFailed({ config }: Adapter, error: unknown): void {
    this.#log.warning('network step not undone', { adapterId: config.id, error: String(error) });
  }

  async #detach(attachment: Attachment): Promise<void> {
    attachment.end.abort(cancelled('the container has ended'));
    await this.#lock.exclusive(async () => {
      if (this.#attachment !== attachment) return;
      for (const adapter of this.#adapters) {
        // What is inside the container's namespace goes with it; what is in ours must be undone.
        if (attachment.atHome) this.#takeBack(adapter);
        adapter.placement?.abandon();
        delete adapter.placement;
      }
      this.#release(attachment);
    });
  }

  #release(attachment: Attachment): void {
    attachment.namespace.close();
    this.#attachment = undefined;
  }

  #tellDns(): void {
    this.#attachment?.user.dnsChanged(this.dns);
  }
}
