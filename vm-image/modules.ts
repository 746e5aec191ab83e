import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';

/** A kernel module as its .modinfo section describes it. */
export interface KernelModule {
  readonly name: string;
  /** Path below /lib/modules/VERSION. */
  readonly path: string;
  readonly depends: readonly string[];
  /** Modules it asks for by name when it starts, and works worse without. */
  readonly softDepends: readonly string[];
  readonly aliases: readonly string[];
}

/** In names of modules, - and _ are the same. */
const canonical = (name: string): string => name.replaceAll('-', '_');

/** The modules of one kernel. */
export class ModuleTree {
  /** /lib/modules/VERSION of the unpacked package. */
  readonly directory: string;
  readonly version: string;
  readonly #paths = new Map<string, string>();
  readonly #builtin: ReadonlySet<string>;
  readonly #read = new Map<string, KernelModule>();

  constructor(modulesDirectory: string) {
    const [version, ...others] = readdirSync(modulesDirectory);
    if (version === undefined || others.length > 0) {
      throw new Error(`${modulesDirectory}: one kernel expected, not ${others.length + 1}`);
    }
    this.version = version;
    this.directory = join(modulesDirectory, version);
    for (const entry of readdirSync(this.directory, { recursive: true, withFileTypes: true })) {
      if (!entry.name.endsWith('.ko')) continue;
      const path = relative(this.directory, join(entry.parentPath, entry.name));
      this.#paths.set(canonical(basename(path, '.ko')), path);
    }
    this.#builtin = new Set(
      readFileSync(join(this.directory, 'modules.builtin'), 'utf8')
        .split('\n')
        .map((path) => canonical(basename(path, '.ko'))),
    );
  }

  /**
   * The named modules and all they need, each behind what it depends on. A name that is neither a
   * module nor built into this kernel is an error, unless it is in `optional`.
   */
  closure(names: readonly string[], optional: ReadonlySet<string> = new Set()): KernelModule[] {
    const found = new Map<string, KernelModule>();
    const visit = (name: string, wanted: boolean): void => {
      const key = canonical(name);
      if (found.has(key) || this.#builtin.has(key)) return;
      if (!this.#paths.has(key)) {
        if (!wanted || optional.has(name)) return;
        throw new Error(`kernel ${this.version} has no module ${name}`);
      }
      const module = this.get(key);
      for (const each of module.softDepends) visit(each, false);
      for (const each of module.depends) visit(each, true);
      found.set(key, module);
    };
    for (const name of names) visit(name, true);
    return [...found.values()];
  }

  get(name: string): KernelModule {
    const key = canonical(name);
    const known = this.#read.get(key);
    if (known !== undefined) return known;
    const path = this.#paths.get(key);
    if (path === undefined) throw new Error(`kernel ${this.version} has no module ${name}`);
    const module = parseModule(key, path, readFileSync(join(this.directory, path)));
    this.#read.set(key, module);
    return module;
  }
}

/** modinfo is NUL-terminated "key=value" strings; they stand in the file as they are. */
function parseModule(name: string, path: string, content: Buffer): KernelModule {
  const values = (key: string): string[] => {
    const found: string[] = [];
    const needle = Buffer.from(`\0${key}=`);
    for (let at = content.indexOf(needle); at >= 0; at = content.indexOf(needle, at + 1)) {
      const start = at + needle.length;
      found.push(content.toString('latin1', start, content.indexOf(0, start)));
    }
    return found;
  };
  const list = (text: string, separator: string): string[] =>
    text.split(separator).filter((each) => each !== '');
  return {
    name,
    path,
    depends: values('depends').flatMap((text) => list(text, ',')),
    softDepends: values('softdep').flatMap((text) =>
      list(/^pre: (.*?)(?: post:.*)?$/.exec(text)?.[1] ?? '', ' '),
    ),
    aliases: values('alias'),
  };
}

/** modules.dep(5) for modprobe: every module with all it needs, the nearest first. */
export function modulesDep(tree: ModuleTree, modules: readonly KernelModule[]): string {
  return modules
    .map((module) => {
      const needed = tree.closure([module.name]).slice(0, -1).reverse();
      const hard = needed.filter((each) => isHard(tree, module, each.name));
      return `${module.path}:${hard.map((each) => ` ${each.path}`).join('')}\n`;
    })
    .sort()
    .join('');
}

function isHard(tree: ModuleTree, module: KernelModule, name: string): boolean {
  return module.depends.some((each) => {
    if (canonical(each) === name) return true;
    const [next] = tree.closure([each]).slice(-1);
    return next !== undefined && isHard(tree, next, name);
  });
}

/** modules.alias for modprobe. */
export function modulesAlias(modules: readonly KernelModule[]): string {
  return modules
    .flatMap((module) => module.aliases.map((alias) => `alias ${alias} ${module.name}\n`))
    .sort()
    .join('');
}
