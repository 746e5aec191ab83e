import { constants } from 'node:fs';
import { chmod, lchown, link, lutimes, mkdir, open, symlink, unlink } from 'node:fs/promises';
import { readTar, type TarMember } from '../../image/tar.ts';
import type { TarEntry } from '../../image/tar-entry.ts';
import { hasCode } from '../../os/errors.ts';
import type { Fd } from '../../os/fd.ts';
import { fdPath } from '../../os/openat2.ts';
import { ManagementError } from '../errors.ts';
import type { ContainerRoot } from './container-root.ts';
import type { Tally } from './tally.ts';

const { O_RDONLY, O_DIRECTORY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;

/**
 * Unpacks a tar archive into a directory of a container. Files replace files, directories are kept
 * and added to. Owner, mode and time of files are the archive's; devices, fifos and extended
 * attributes it may not bring. What was unpacked before an error stays.
 */
export async function unpack(
  root: ContainerRoot,
  path: string,
  archive: AsyncIterable<Uint8Array>,
  tally: Tally,
): Promise<void> {
  root.open(path, O_RDONLY | O_DIRECTORY).close();
  const target = new Target(root, path);
  for await (const member of readTar(archive)) {
    await target.add(member, tally);
    tally.entries += 1;
  }
}

class Target {
  readonly #root: ContainerRoot;
  readonly #path: string;

  constructor(root: ContainerRoot, path: string) {
    this.#root = root;
    this.#path = path;
  }

  async add(member: TarMember, tally: Tally): Promise<void> {
    const { entry } = member;
    const names = namesOf(entry.name);
    const name = names.pop();
    // The directory itself, which is the container's.
    if (name === undefined) return;
    using parent = await this.#parent(names);
    const place = `${fdPath(parent)}/${name}`;
    switch (entry.type) {
      case 'directory':
        return await this.#directory([...names, name], place, entry);
      case 'file':
        return await writeFile(place, member, tally);
      case 'symlink':
        await remove(place);
        await symlink(text(entry.linkName), place);
        await lchown(place, entry.uid, entry.gid);
        return await lutimes(place, timeOf(entry), timeOf(entry));
      case 'hardlink':
        return await this.#hardLink(entry, place);
      case 'character':
      case 'block':
      case 'fifo':
        throw new ManagementError('not-supported', `${text(entry.name)}: no ${entry.type} is made`);
    }
  }

  /** A directory of the target by names; those that are missing are made. */
  async #parent(names: readonly string[]): Promise<Fd> {
    const path = [this.#path, ...names].join('/');
    try {
      return this.#root.open(path, O_RDONLY | O_DIRECTORY);
    } catch (error) {
      const missing = error instanceof ManagementError && error.code === 'path-not-found';
      if (!missing || names.length === 0) throw error;
    }
    using above = await this.#parent(names.slice(0, -1));
    await makeDirectory(`${fdPath(above)}/${names.at(-1)}`);
    return this.#root.open(path, O_RDONLY | O_DIRECTORY);
  }

  async #directory(names: readonly string[], place: string, entry: TarEntry): Promise<void> {
    // One that is there, or a link to one, stays what it is.
    if (!(await makeDirectory(place))) {
      this.#root.open([this.#path, ...names].join('/'), O_RDONLY | O_DIRECTORY).close();
      return;
    }
    await lchown(place, entry.uid, entry.gid);
    using made = this.#root.open([this.#path, ...names].join('/'), O_RDONLY | O_DIRECTORY);
    await chmod(fdPath(made), entry.mode);
  }

  /** The other name is one of the archive's, so below the target too. */
  async #hardLink(entry: TarEntry, place: string): Promise<void> {
    const names = namesOf(entry.linkName);
    const name = names.pop();
    if (name === undefined) throw malformed(entry.linkName);
    using parent = await this.#parent(names);
    await remove(place);
    await link(`${fdPath(parent)}/${name}`, place);
  }
}

async function writeFile(place: string, member: TarMember, tally: Tally): Promise<void> {
  const { entry } = member;
  await remove(place);
  await using file = await open(place, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  for await (const part of member.content()) {
    await file.writeFile(part);
    tally.bytes += part.length;
  }
  // The mode last: a change of the owner takes set-user-id away.
  await file.chown(entry.uid, entry.gid);
  await file.chmod(entry.mode);
  await file.utimes(timeOf(entry), timeOf(entry));
}

/** Seconds since 1970. */
function timeOf({ mtime, mtimeNs }: TarEntry): number {
  return mtime + mtimeNs / 1e9;
}

/** False when there is something of that name. */
async function makeDirectory(place: string): Promise<boolean> {
  try {
    await mkdir(place, 0o755);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

async function remove(place: string): Promise<void> {
  try {
    await unlink(place);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

/** Components of a name below the target. ManagementError for one that would leave it. */
function namesOf(name: string): string[] {
  const names = text(name)
    .split('/')
    .filter((part) => part !== '' && part !== '.');
  if (names.includes('..')) throw malformed(name);
  return names;
}

function malformed(name: string): ManagementError {
  const shown = JSON.stringify(text(name).slice(0, 200));
  return new ManagementError('invalid-argument', `the archive has the name ${shown}`);
}

/** Names of an archive are bytes; those of files are UTF-8 for the agent. */
function text(name: string): string {
  return Buffer.from(name, 'latin1').toString();
}
