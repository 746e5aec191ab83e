import type { FileHandle } from 'node:fs/promises';
import { lstat, open, realpath } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path/posix';
import { compressionOf } from './compression.ts';
import { ImageError } from './errors.ts';
import { FileBytes } from './file-bytes.ts';
import { imageLimits } from './limits.ts';
import { isTarHeader, readTar } from './tar.ts';

/** One file of an image, to be read from its beginning. */
export interface ImageFile {
  readonly size: number;
  read(): AsyncIterable<Buffer>;
}

/** The files an image consists of, in a directory or in a tar archive of it. */
export interface ImageFiles extends AsyncDisposable {
  /** For error texts. */
  readonly name: string;
  /** Undefined when there is none. Throws ImageError for a path that leads out. */
  find(path: string): Promise<ImageFile | undefined>;
}

/** Throws ImageError 'refused' unless the path is relative and stays inside. */
function inside(path: string, image: string): string {
  const clean = normalize(path);
  const out = path === '' || path.includes('\0') || clean === '..' || clean.startsWith('../');
  if (!out && !clean.startsWith('/')) return clean.replace(/^\.\//, '');
  throw new ImageError('refused', `${image}: the path ${JSON.stringify(path)} leads out of it`);
}

/** Opens a directory, or a tar archive, without unpacking it. */
export async function openImageFiles(path: string): Promise<ImageFiles> {
  const file = await open(path, 'r');
  try {
    if ((await file.stat()).isDirectory()) {
      await file.close();
      return new DirectoryFiles(path, await realpath(path));
    }
    return await TarFiles.index(path, file);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function* readPath(path: string, size: number): AsyncGenerator<Buffer> {
  await using file = await open(path, 'r');
  yield* new FileBytes(file, 0, size);
}

/** Says what to do about an archive that was compressed as a whole. */
async function requireTar(name: string, file: FileHandle): Promise<void> {
  const head = Buffer.alloc(512);
  const { bytesRead } = await file.read(head, 0, head.length, 0);
  const compression = compressionOf(head);
  if (compression !== 'none') {
    const why = `is compressed with ${compression} as a whole: decompress it first`;
    throw new ImageError('unsupported', `${name} ${why}`);
  }
  if (bytesRead < head.length || !isTarHeader(head)) {
    throw new ImageError('not-an-image', `${name} is neither a directory nor a tar archive`);
  }
}

class DirectoryFiles implements ImageFiles {
  readonly name: string;
  readonly #root: string;

  constructor(name: string, root: string) {
    this.name = name;
    this.#root = root;
  }

  async find(path: string): Promise<ImageFile | undefined> {
    const named = join(this.#root, inside(path, this.name));
    let real: string;
    try {
      real = await realpath(named);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      throw error;
    }
    if (!real.startsWith(`${this.#root}/`)) {
      throw new ImageError('refused', `${this.name}: ${path} is a link that leads out of it`);
    }
    const status = await lstat(real);
    if (!status.isFile()) throw new ImageError('refused', `${this.name}: ${path} is no file`);
    return { size: status.size, read: () => readPath(real, status.size) };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

interface Range {
  readonly offset: number;
  readonly size: number;
}

class TarFiles implements ImageFiles {
  readonly name: string;
  readonly #file: FileHandle;
  readonly #ranges: ReadonlyMap<string, Range>;
  /** Old archives link layers that are the same to one of them. */
  readonly #links: ReadonlyMap<string, string>;

  private constructor(
    name: string,
    file: FileHandle,
    ranges: ReadonlyMap<string, Range>,
    links: ReadonlyMap<string, string>,
  ) {
    this.name = name;
    this.#file = file;
    this.#ranges = ranges;
    this.#links = links;
  }

  /** Reads headers only. Owns the file once it has resolved. */
  static async index(name: string, file: FileHandle): Promise<TarFiles> {
    const ranges = new Map<string, Range>();
    const links = new Map<string, string>();
    await requireTar(name, file);
    let members = 0;
    for await (const { entry, offset } of readTar(new FileBytes(file))) {
      members += 1;
      if (members > imageLimits.archiveMembers) {
        throw new ImageError('refused', `${name}: more than ${imageLimits.archiveMembers} members`);
      }
      const path = normalize(entry.name).replace(/^\.\//, '');
      if (entry.type === 'file') ranges.set(path, { offset, size: entry.size });
      else if (entry.type === 'symlink') links.set(path, join(dirname(path), entry.linkName));
      else if (entry.type === 'hardlink') links.set(path, normalize(entry.linkName));
    }
    return new TarFiles(name, file, ranges, links);
  }

  async find(path: string): Promise<ImageFile | undefined> {
    const clean = inside(path, this.name);
    // One step is all that such links need; a circle cannot hold us.
    const range = this.#ranges.get(clean) ?? this.#ranges.get(this.#links.get(clean) ?? '');
    if (range === undefined) return undefined;
    return { size: range.size, read: () => new FileBytes(this.#file, range.offset, range.size) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
