import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { FindOptions } from '../network/find-adapter.ts';
import { networkLimits } from '../network/limits.ts';
import type { Placement, PlacementFacts, PlacementRequest } from '../network/placement.ts';
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
  /** Of the placement, for an agent that takes the place of this one, or from one before. */
  facts?: PlacementFacts | undefined;
}

/** What is recorded of a namespace. */
export interface NamespaceRecord {
  readonly id: string;
  readonly adapters: readonly { config: AdapterConfig; facts?: PlacementFacts }[];
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
  readonly #remember: (record: NamespaceRecord) => void;

  /** @param remember told whenever something has changed that an agent after this one goes on with */
  constructor(
    id: string,
    log: Logger,
    find: FindOptions,
    remember: (record: NamespaceRecord) => void = () => {},
  ) {
    this.#remember = remember;
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

  /** One of an agent before this one, before its container is attached again. */
  restore({ adapters }: NamespaceRecord): void {
    for (const { config, facts } of adapters) {
      this.#adapters.push({ config, facts, end: new AbortController() });
    }
  }

  /**
   * Gives a container the adapters that it has since an agent before this one. One that was not
   * wholly placed by then is taken back, as the add of which the host has no answer.
   */
  reattach(user: NetworkUser): Promise<void> {
    return this.#lock.exclusive(async () => {
      const attachment = await this.#claim(user);
      void user.exited.then(() => this.#detach(attachment));
      const { Placement, undoPlacement } = await import('../network/placement.ts');
      for (const adapter of [...this.#adapters]) {
        const { facts } = adapter;
        if (facts?.placed === true) {
          adapter.placement = Placement.restore(this.#requestFor(adapter, attachment), facts);
          continue;
        }
        this.#adapters.splice(this.#adapters.indexOf(adapter), 1);
        if (facts === undefined) continue;
        for (const error of undoPlacement(attachment.namespace, facts)) {
          this.#undoFailed(adapter, error);
        }
      }
      this.#changed();
    });
  }

  /** Every container is attached again that is still there: what is left in our own namespace for others goes. */
  async settle(): Promise<void> {
    if (this.#attachment !== undefined) return;
    const left = this.#adapters.filter(({ facts }) => facts !== undefined);
    if (left.length === 0) return;
    const { openNetworkNamespace } = await import('../os/netlink.ts');
    const { undoPlacement } = await import('../network/placement.ts');
    using home = openNetworkNamespace('self');
    for (const adapter of left) {
      const { facts } = adapter;
      adapter.facts = undefined;
      if (facts?.atHome !== true) continue;
      for (const error of undoPlacement(home, facts)) this.#undoFailed(adapter, error);
    }
    this.#changed();
  }

  #changed(): void {
    const adapters = this.#adapters.map(({ config, facts }) => ({
      config,
      ...(facts === undefined ? {} : { facts }),
    }));
    this.#remember({ id: this.id, adapters });
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
          this.#changed();
        } catch (error) {
          this.#adapters.splice(this.#adapters.indexOf(adapter), 1);
          this.#changed();
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
      this.#changed();
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
        this.#changed();
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
    const { placeAdapter } = await import('../network/placement.ts');
    try {
      adapter.placement = await placeAdapter(this.#requestFor(adapter, attachment));
    } catch (error) {
      adapter.facts = undefined;
      throw error;
    }
    this.#log.info('network adapter configured', { adapterId: adapter.config.id });
  }

  #requestFor(adapter: Adapter, attachment: Attachment): PlacementRequest {
    const { config } = adapter;
    // With policy routing the first adapter is the preferred one.
    const later = this.#adapters.indexOf(adapter) > 0;
    return {
      config,
      lowMetric: config.policyBasedRouting ? later : config.lowMetric,
      namespace: attachment.namespace,
      find: this.#find,
      log: this.#log.with({ adapterId: config.id }),
      signal: AbortSignal.any([adapter.end.signal, attachment.end.signal]),
      dnsChanged: () => this.#tellDns(),
      remember: (facts) => {
        adapter.facts = facts;
        this.#changed();
      },
    };
  }

  #takeBack(adapter: Adapter): void {
    const { placement } = adapter;
    delete adapter.placement;
    adapter.facts = undefined;
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
        adapter.facts = undefined;
      }
      this.#release(attachment);
      this.#changed();
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
