/** runc as a shell would call it, by posix_spawn: the floor for what an agent over it can take. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exitCodeOf } from '../src/os/process.ts';
import { untilProcessEnds } from '../src/os/process-end.ts';
import { Reaper } from '../src/os/reaper.ts';

export class RawRunc implements Disposable {
  readonly #reaper = Reaper.start();
  readonly #env = Object.entries(process.env).map(([name, value]) => `${name}=${value}`);

  async run(...args: string[]): Promise<void> {
    const child = this.#reaper.spawn({
      file: 'runc',
      args: ['runc', ...args],
      env: this.#env,
      stdio: [null, null, null],
    });
    const code = exitCodeOf(await child.exited);
    if (code !== 0) throw new Error(`runc ${args.join(' ')} ended with ${code}`);
  }

  /** Writes the bundle (not part of what is measured) and creates. */
  async create(id: string, bundle: string): Promise<void> {
    await this.run('create', '--no-pivot', '-b', bundle, '--pid-file', join(bundle, 'pid'), id);
  }

  start(id: string): Promise<void> {
    return this.run('start', id);
  }

  exec(id: string, processFile: string, pidFile: string): Promise<void> {
    return this.run('exec', '-d', '--process', processFile, '--pid-file', pidFile, id);
  }

  delete(id: string): Promise<void> {
    return this.run('delete', id);
  }

  [Symbol.dispose](): void {
    this.#reaper[Symbol.dispose]();
  }
}

export function writeBundle(bundle: string, spec: object): void {
  mkdirSync(bundle, { recursive: true });
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec));
}

/** Resolves when the container's init, a child of this process by now, has ended. */
export async function initEnded(bundle: string): Promise<void> {
  const pid = Number(readFileSync(join(bundle, 'pid'), 'utf8'));
  await untilProcessEnds(pid);
}
