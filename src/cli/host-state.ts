import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRecord } from './values.ts';

/** What one gcsctl command leaves for the next about a container, for the protocol does not tell. */
export interface ContainerRecord {
  /** Its init was created with a terminal. */
  readonly terminal: boolean;
  /** Pid of its init in the guest, once started. */
  readonly pid?: number;
}

/** Records beside the socket of an agent, one file per container. */
export class HostState {
  readonly #directory: string;

  constructor(path: string) {
    this.#directory = `${path}.containers`;
  }

  save(id: string, record: ContainerRecord): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    writeFileSync(this.#file(id), `${JSON.stringify(record)}\n`, { mode: 0o600 });
  }

  /** Undefined for a container that no gcsctl on this path created. */
  load(id: string): ContainerRecord | undefined {
    let text: string;
    try {
      text = readFileSync(this.#file(id), 'utf8');
    } catch (error) {
      if ((error as { code?: unknown }).code === 'ENOENT') return undefined;
      throw error;
    }
    const value: unknown = JSON.parse(text);
    if (!isRecord(value)) return undefined;
    const { pid, terminal } = value;
    return { terminal: terminal === true, ...(typeof pid === 'number' ? { pid } : {}) };
  }

  forget(id: string): void {
    rmSync(this.#file(id), { force: true });
  }

  #file(id: string): string {
    return join(this.#directory, `${encodeURIComponent(id)}.json`);
  }
}
