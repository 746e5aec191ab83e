import { existsSync } from 'node:fs';
import { AgentError } from '../../../src/errors.ts';
import type { DeviceResolver, DiskAddress } from '../../../src/storage/devices/resolver.ts';

/** A host whose disks are what a test says; keys are "CONTROLLER:LUN" and "pmemN". */
export class TestDevices implements DeviceResolver {
  readonly name = 'test';
  readonly unplugged: string[] = [];
  readonly #nodes: Readonly<Record<string, string>>;

  constructor(nodes: Readonly<Record<string, string>>) {
    this.#nodes = nodes;
  }

  async disk({ controller, lun, partition }: DiskAddress): Promise<string> {
    const disk = this.#node(`${controller}:${lun}`);
    const node = partition === 0 ? disk : `${disk}p${partition}`;
    if (!existsSync(node)) throw new AgentError('failed', `${node} did not appear`);
    return node;
  }

  async pmem(number: number): Promise<string> {
    return this.#node(`pmem${number}`);
  }

  async pci(id: string): Promise<string> {
    return this.#node(id);
  }

  async unplug({ controller, lun }: { controller: number; lun: number }): Promise<void> {
    this.unplugged.push(`${controller}:${lun}`);
  }

  #node(key: string): string {
    const node = this.#nodes[key];
    if (node === undefined) throw new AgentError('failed', `device ${key} did not appear`);
    return node;
  }
}
