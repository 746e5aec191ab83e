import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { FindOptions } from '../network/find-adapter.ts';
import { networkLimits } from '../network/limits.ts';
import {
  type AdapterSettings,
  parseAdapter,
  parseAdapterId,
  parseNamespaceId,
} from '../network/settings.ts';
import type { Journal } from '../state/journal.ts';
import { packed, unpacked } from '../state/packed.ts';
import { type NamespaceRecord, NetworkNamespace } from './network-namespace.ts';
import type { NetworkOperations } from './operations.ts';

/** The network namespaces the host has named. Ids are compared without regard to case. */
export class Namespaces implements NetworkOperations {
  readonly #log: Logger;
  readonly #find: FindOptions;
  readonly #byId = new Map<string, NetworkNamespace>();
  readonly #journal: Journal | undefined;

  constructor(log: Logger, find: FindOptions = {}, journal?: Journal) {
    this.#log = log;
    this.#find = find;
    this.#journal = journal;
  }

  /** Those of an agent before this one, before its containers. */
  restore(records: readonly unknown[]): void {
    for (const record of records) {
      const known = unpacked(record) as NamespaceRecord;
      this.getOrAdd(known.id).restore(known);
    }
  }

  /** Its containers are attached again, those that are still there. */
  async settle(): Promise<void> {
    for (const namespace of this.#byId.values()) await namespace.settle();
  }

  #remember(record: NamespaceRecord): void {
    const file = `network/${encodeURIComponent(record.id)}.json` as const;
    if (record.adapters.length === 0) this.#journal?.removeFile(file);
    else this.#journal?.write(file, packed(record) as object);
  }

  /** The namespace exists from then on, also when the adapter does not come. */
  async add(settings: AdapterSettings): Promise<void> {
    const id = parseNamespaceId(settings.NamespaceID);
    const config = parseAdapter(settings);
    await this.getOrAdd(id).add(config);
  }

  async remove(ids: Pick<AdapterSettings, 'NamespaceID' | 'ID'>): Promise<void> {
    const id = parseNamespaceId(ids.NamespaceID);
    const adapterId = parseAdapterId(ids.ID);
    const namespace = this.#byId.get(id);
    if (namespace === undefined) {
      this.#log.warning('network adapter of an unknown namespace removed', { id, adapterId });
      return;
    }
    await namespace.remove(adapterId);
  }

  /** AgentError 'namespace-not-found'. */
  get(id: string): NetworkNamespace {
    const namespace = this.#byId.get(id.toLowerCase());
    if (namespace !== undefined) return namespace;
    throw new AgentError('namespace-not-found', `namespace '${id.toLowerCase()}' not found`, {
      operation: 'network',
    });
  }

  getOrAdd(id: string): NetworkNamespace {
    const key = id.toLowerCase();
    let namespace = this.#byId.get(key);
    if (namespace === undefined) {
      if (this.#byId.size >= networkLimits.namespaces) this.#forgetOne();
      namespace = new NetworkNamespace(key, this.#log, this.#find, (record) =>
        this.#remember(record),
      );
      this.#byId.set(key, namespace);
    }
    return namespace;
  }

  describe(): string {
    const lines = [...this.#byId.values()].map((namespace) => `  ${namespace.describe()}`);
    return ['network namespaces', ...(lines.length === 0 ? ['  none'] : lines)].join('\n');
  }

  /** Ends what waits for an adapter, and gives back those of containers. */
  async destroy(): Promise<void> {
    for (const namespace of this.#byId.values()) await namespace.close();
  }

  /** Hosts never say that they have done with a namespace: the oldest that holds nothing makes room. */
  #forgetOne(): void {
    for (const namespace of this.#byId.values()) {
      if (!namespace.unused) continue;
      this.#byId.delete(namespace.id);
      return;
    }
    throw new AgentError('limit', `more than ${networkLimits.namespaces} network namespaces`, {
      operation: 'network',
    });
  }
}
