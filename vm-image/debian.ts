import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ExecaError, execa } from 'execa';
import type { Architecture } from './architectures.ts';

const RELEASE = 'bookworm';
/** Where the archive is fetched from. */
function mirror(): string {
  return process.env.GCS_DEBIAN_MIRROR ?? 'http://deb.debian.org';
}

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** One package as it was fetched. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  /** Name of the file in the cache. */
  readonly file: string;
  readonly sha256: string;
}

/**
 * Debian packages of one architecture in a cache of their own. apt gets directories of its own for
 * everything it keeps: lists and state of this machine, and its architecture, stay as they are.
 */
export class DebianArchive {
  readonly #directory: string;
  readonly #architecture: Architecture;

  /** `directory` is made when something is fetched. */
  constructor(directory: string, architecture: Architecture) {
    this.#directory = directory;
    this.#architecture = architecture;
  }

  /** What an earlier run fetched, undefined when a file of it is missing. */
  pinned(): DebianPackage[] | undefined {
    const path = this.#pinFile();
    if (!existsSync(path)) return undefined;
    const packages = JSON.parse(readFileSync(path, 'utf8')) as DebianPackage[];
    return packages.every((each) => existsSync(this.path(each))) ? packages : undefined;
  }

  path(entry: DebianPackage): string {
    return join(this.#directory, entry.file);
  }

  /** Fetches the release's present versions and pins them. */
  async fetch(metapackage: string, names: readonly string[]): Promise<DebianPackage[]> {
    if (!existsSync(KEYRING)) {
      throw new Error(`${KEYRING} is missing: apt-get install debian-archive-keyring`);
    }
    mkdirSync(this.#directory, { recursive: true });
    this.#prepare();
    await this.#update();
    const kernel = await this.#dependency(metapackage);
    const uris = await this.#apt('apt-get', ['download', '--print-uris', kernel, ...names]);
    const packages = uris.split('\n').filter(Boolean).map(parseUri);
    await this.#apt('apt-get', ['download', '-q', kernel, ...names]);
    for (const entry of packages) this.#verify(entry);
    const path = this.#pinFile();
    writeFileSync(`${path}.new`, `${JSON.stringify(packages, undefined, 1)}\n`);
    renameSync(`${path}.new`, path);
    return packages;
  }

  /** The package's files, unpacked once; the directory. */
  async unpack(entry: DebianPackage): Promise<string> {
    const target = join(this.#directory, 'unpacked', entry.file.replace(/\.deb$/, ''));
    if (existsSync(target)) return target;
    const temporary = `${target}.new`;
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary, { recursive: true });
    await execa('dpkg-deb', ['--extract', this.path(entry), temporary]);
    renameSync(temporary, target);
    return target;
  }

  /** apt itself takes lists it could not fetch for a warning, and then finds no package. */
  async #update(): Promise<void> {
    try {
      await this.#apt('apt-get', ['update', '-q', '-o', 'APT::Update::Error-Mode=any']);
    } catch (error) {
      const said = error instanceof ExecaError ? String(error.stderr) : String(error);
      const reasons = said.split('\n').filter((line) => /^[EW]: /.test(line));
      throw new Error(
        `Debian's package lists cannot be fetched from ${mirror()}. Is there a network? ` +
          `GCS_DEBIAN_MIRROR=http://… takes another mirror. apt-get says:\n${reasons.join('\n')}`,
        { cause: error },
      );
    }
  }

  #verify(entry: DebianPackage): void {
    const found = createHash('sha256')
      .update(readFileSync(this.path(entry)))
      .digest('hex');
    if (found !== entry.sha256) {
      throw new Error(`${entry.file}: SHA-256 is ${found}, the archive says ${entry.sha256}`);
    }
  }

  /** The one package a metapackage stands for. */
  async #dependency(metapackage: string): Promise<string> {
    const text = await this.#apt('apt-cache', ['depends', '--important', metapackage]);
    const name = /^\s*Depends: (\S+)$/m.exec(text)?.[1];
    if (name === undefined) throw new Error(`${metapackage} depends on nothing:\n${text}`);
    return name;
  }

  #pinFile(): string {
    return join(this.#directory, 'packages.json');
  }

  #prepare(): void {
    for (const name of ['state/lists/partial', 'archives/partial']) {
      mkdirSync(join(this.#directory, 'apt', name), { recursive: true });
    }
    writeFileSync(join(this.#directory, 'apt/status'), '');
    const options = `[arch=${this.#architecture.name} signed-by=${KEYRING}]`;
    const sources = [
      `deb ${options} ${mirror()}/debian ${RELEASE} main`,
      `deb ${options} ${mirror()}/debian ${RELEASE}-updates main`,
      `deb ${options} ${mirror()}/debian-security ${RELEASE}-security main`,
    ];
    writeFileSync(join(this.#directory, 'apt/sources.list'), `${sources.join('\n')}\n`);
  }

  async #apt(program: string, args: readonly string[]): Promise<string> {
    const apt = join(this.#directory, 'apt');
    const settings = {
      'APT::Architecture': this.#architecture.name,
      'APT::Architectures': this.#architecture.name,
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
      'Dir::State': join(apt, 'state'),
      'Dir::State::status': join(apt, 'status'),
      'Dir::Cache': apt,
      'Dir::Etc::sourcelist': join(apt, 'sources.list'),
      'Dir::Etc::sourceparts': '-',
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    const { stdout } = await execa(program, [...options, ...args], {
      cwd: this.#directory,
      env: { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    });
    return stdout;
  }
}

/** One line of --print-uris: 'URI' NAME_VERSION_ARCH.deb SIZE SHA256:DIGEST. */
function parseUri(line: string): DebianPackage {
  const match = /^'[^']+' (\S+) \d+ SHA256:([0-9a-f]{64})$/.exec(line);
  const [, file = '', sha256 = ''] = match ?? [];
  const [name = '', version = ''] = file.split('_');
  if (match === null || version === '') throw new Error(`apt-get printed an unknown line: ${line}`);
  return { name, version: decodeURIComponent(version), file, sha256 };
}
