import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { VmUpResult } from '../../src/cli/vm-up.ts';
import { openVm, useGuestRootfs, type VmSession } from '../../test/support/vm-agent.ts';
import { VmLab } from '../../test/support/vm-command.ts';

const BUILD = fileURLToPath(new URL('../../vm-image/build.ts', import.meta.url));
const NAME = 'bench';

/** What a measure of a VM gets. */
export interface VmContext {
  readonly bench: VmBench;
  readonly quick: boolean;
  /** Says what is under way. */
  progress(text: string): void;
}

/** The VM that is measured: booted when first needed, ended on disposal. */
export class VmBench implements AsyncDisposable {
  readonly #lab = new VmLab();
  #runs = false;

  /** Ends the present VM and boots another one. */
  async boot(): Promise<VmUpResult> {
    execFileSync(process.execPath, [BUILD], { stdio: ['ignore', 2, 2] });
    await this.#end();
    this.#runs = true;
    // What the agent logs goes to the serial console, whose every byte costs an exit of the VM.
    const agent = ['--', '-log-format', 'text', '-loglevel', 'info'];
    const up = await this.#lab.run('vm', 'up', '--name', NAME, '--json', ...agent);
    if (up.code !== 0) throw new Error(`gcsctl vm up ended with ${up.code}:\n${up.stderr}`);
    return JSON.parse(up.stdout) as VmUpResult;
  }

  /** Directory of the VM. */
  async directory(): Promise<string> {
    if (!this.#runs) await this.boot();
    return this.#lab.directory(NAME).path;
  }

  /** A host with the agent of the VM. */
  async open(): Promise<VmSession> {
    return await openVm(await this.directory());
  }

  /** Makes a root file system for containers in the guest. */
  async useRootfs(): Promise<void> {
    await useGuestRootfs(await this.directory());
  }

  /** Ends the VM at once; every connection to it breaks. */
  kill(): void {
    const qemu = this.#lab.directory(NAME).running()?.qemu;
    if (qemu !== undefined) process.kill(qemu.pid, 'SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]();
  }

  async #end(): Promise<void> {
    if (this.#runs) await this.#lab.run('vm', 'down', '--force', NAME);
    this.#runs = false;
  }
}
