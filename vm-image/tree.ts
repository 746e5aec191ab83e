import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** A directory that becomes a file system. Modes are set outright: the umask has no say. */
export class Tree {
  readonly root: string;

  /** Empties `root`. */
  constructor(root: string) {
    rmSync(root, { recursive: true, force: true });
    mkdirSync(root, { recursive: true, mode: 0o755 });
    chmodSync(root, 0o755);
    this.root = root;
  }

  has(path: string): boolean {
    return lstatSync(this.at(path), { throwIfNoEntry: false }) !== undefined;
  }

  at(path: string): string {
    return join(this.root, path);
  }

  directory(path: string, mode = 0o755): void {
    const target = this.at(path);
    if (existsSync(target)) return;
    if (dirname(target) !== target) this.directory(dirname(path));
    mkdirSync(target);
    chmodSync(target, mode);
  }

  file(path: string, content: string | Buffer, mode = 0o644): void {
    this.directory(dirname(path));
    writeFileSync(this.at(path), content);
    chmodSync(this.at(path), mode);
  }

  /** Copies what `source` is or links to. */
  copy(path: string, source: string, mode = 0o644): void {
    this.directory(dirname(path));
    copyFileSync(source, this.at(path));
    chmodSync(this.at(path), mode);
  }

  link(path: string, target: string): void {
    this.directory(dirname(path));
    symlinkSync(target, this.at(path));
  }
}
