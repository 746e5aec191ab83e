import { lstatSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ManagementRequestError } from '../../client/management/errors.ts';
import { hasCode } from '../../os/errors.ts';
import { CliError } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { LocalTar } from '../local-tar.ts';
import type { Door } from './open.ts';

export interface ContainerPlace {
  readonly id: string;
  /** Absolute, in the container; "/." at its end: the content of the directory. */
  readonly path: string;
}

interface CopyOptions {
  /** Keep owners and groups. */
  readonly archive: boolean;
}

/** The place as an archive on stdout. */
export async function copyOutArchive(door: Door, place: ContainerPlace, io: Io): Promise<void> {
  const path = withoutDot(place.path);
  const { stream, done } = await door.client.stream(
    'container.copyOut',
    { id: place.id, path },
    { signal: door.signal },
  );
  const copied = pipeline(stream, io.stdout, { signal: door.signal, end: false });
  await both(door, { id: place.id, path }, done, copied, 'agent');
}

/** An archive from stdin into the directory. */
export async function copyInArchive(door: Door, place: ContainerPlace, io: Io): Promise<void> {
  const path = withoutDot(place.path);
  const { stream, done } = await door.client.stream(
    'container.copyIn',
    { id: place.id, path },
    { signal: door.signal },
  );
  const given = pipeline(io.stdin, stream, { signal: door.signal });
  await both(door, { id: place.id, path }, done, given, 'agent');
}

/** `destination`: absolute, here; "/" at its end: an existing directory. */
export async function copyOut(
  door: Door,
  place: ContainerPlace,
  destination: string,
  { archive }: CopyOptions,
): Promise<void> {
  const path = withoutDot(place.path);
  const content = path !== place.path || path === '/';
  const owners = archive ? ['--same-owner', '--numeric-owner'] : ['--no-same-owner'];
  if (isDirectory(destination)) {
    const strip = content ? ['--strip-components=1'] : [];
    await unpackTo(door, { id: place.id, path }, destination, [...owners, ...strip]);
    return;
  }
  if (/\/\.?$/.test(destination)) throw new CliError(`${destination} is no directory here`);
  if (!isDirectory(dirname(destination))) {
    throw new CliError(`${dirname(destination)} is no directory here`);
  }
  // Whole or not at all, under the name it is to have.
  const beside = await mkdtemp(join(dirname(destination), '.gcsctl-cp-'));
  try {
    if (content) {
      const inside = join(beside, 'content');
      await mkdir(inside);
      await unpackTo(door, { id: place.id, path }, inside, [...owners, '--strip-components=1']);
      await rename(inside, destination);
    } else {
      await unpackTo(door, { id: place.id, path }, beside, owners);
      await rename(join(beside, basename(path)), destination);
    }
  } finally {
    await rm(beside, { recursive: true, force: true });
  }
}

/** `source`: absolute, here; "/." at its end: the content of the directory. */
export async function copyIn(
  door: Door,
  source: string,
  place: ContainerPlace,
  { archive }: CopyOptions,
): Promise<void> {
  const content = source.endsWith('/.');
  const file = content ? source.slice(0, -2) || '/' : source.replace(/(.)\/$/, '$1');
  if (!exists(file)) throw new CliError(`${file}: no such file or directory here`);
  if ((content || source.endsWith('/')) && !isDirectory(file)) {
    throw new CliError(`${file} is no directory here`);
  }
  const path = withoutDot(place.path).replace(/(.)\/+$/, '$1');
  const owners = archive ? ['--numeric-owner'] : ['--owner=0', '--group=0', '--numeric-owner'];
  const kind = await kindOf(door, { id: place.id, path });
  if (kind === 'directory') {
    await packInto(door, { id: place.id, path }, content ? file : dirname(file), [
      ...owners,
      ...(content ? ['.'] : ['--', basename(file)]),
    ]);
    return;
  }
  if (kind === 'other' && isDirectory(file)) {
    throw new CliError(`${place.id}:${path} is no directory, and ${file} is one`);
  }
  if (kind === 'missing' && /\/\.?$/.test(place.path)) {
    throw new CliError(`${place.id}:${path}: no such directory in the container`);
  }
  // Under a name of its own: the first name of every path in the archive becomes that.
  const parent = { id: place.id, path: dirname(path) };
  const name = basename(file);
  const renamed = `--transform=flags=rh;s,^${forPattern(name)},${forReplacement(basename(path))},`;
  await packInto(door, parent, dirname(file), [...owners, renamed, '--', name]);
}

async function unpackTo(
  door: Door,
  place: ContainerPlace,
  directory: string,
  options: readonly string[],
): Promise<void> {
  const { stream, done } = await door.client.stream('container.copyOut', place, {
    signal: door.signal,
  });
  await using tar = new LocalTar(['-x', '-p', '-C', directory, ...options]);
  const taken = pipeline(stream, tar.stdin, { signal: door.signal }).then(
    () => tar.ended(),
    async (error: unknown) => {
      await tar.ended(); // It knows better why it took no more.
      throw error;
    },
  );
  await both(door, place, done, taken, 'agent');
}

async function packInto(
  door: Door,
  place: ContainerPlace,
  directory: string,
  options: readonly string[],
): Promise<void> {
  const { stream, done } = await door.client.stream('container.copyIn', place, {
    signal: door.signal,
  });
  await using tar = new LocalTar(['-c', '-C', directory, ...options]);
  // An archive that tar did not finish has no end, and so is refused at the other side.
  const given = pipeline(tar.stdout, stream, { signal: door.signal }).then(() => tar.ended());
  await both(door, place, done, given, 'here');
}

type Kind = 'directory' | 'other' | 'missing';

async function kindOf(door: Door, place: ContainerPlace): Promise<Kind> {
  if (await takesFiles(door, place)) return 'directory';
  return (await isThere(door, place)) ? 'other' : 'missing';
}

/** Two blocks of zeros: the end of an archive, and nothing before it. */
const EMPTY_ARCHIVE = Buffer.alloc(1024);

/** Is it a directory, links followed as the container would? One can unpack nothing into it then. */
async function takesFiles(door: Door, place: ContainerPlace): Promise<boolean> {
  const { signal } = door;
  const { stream, done } = await door.client.stream('container.copyIn', place, { signal });
  stream.end(EMPTY_ARCHIVE);
  return await found(done);
}

async function isThere(door: Door, place: ContainerPlace): Promise<boolean> {
  const { signal } = door;
  const { stream, done } = await door.client.stream('container.copyOut', place, { signal });
  const answer = found(done.catch(unlessBroken));
  // Its first bytes say enough.
  stream.once('data', () => stream.destroy());
  return await answer;
}

async function found(done: Promise<unknown>): Promise<boolean> {
  try {
    await done;
    return true;
  } catch (error) {
    if (error instanceof ManagementRequestError && error.code === 'path-not-found') return false;
    throw error;
  }
}

/** What came of a stream that was closed here. */
function unlessBroken(error: unknown): void {
  if (!(error instanceof ManagementRequestError && error.code === 'stream-broken')) throw error;
}

/**
 * Both ends of a copy have ended: one failed because the other did. `first`: who is asked first, for
 * it is nearer to where the archive comes from.
 */
async function both(
  { signal }: Door,
  { id, path }: ContainerPlace,
  done: Promise<unknown>,
  here: Promise<unknown>,
  first: 'agent' | 'here',
): Promise<void> {
  const [answered, moved] = await Promise.allSettled([done, here]);
  signal.throwIfAborted();
  const theirs = answered.status === 'rejected' ? refusal(answered.reason, id, path) : undefined;
  const ours = moved.status === 'rejected' ? moved.reason : undefined;
  const broken = theirs instanceof ManagementRequestError && theirs.code === 'stream-broken';
  const agentFirst = first === 'agent' && !broken;
  const error = agentFirst ? (theirs ?? ours) : ours instanceof CliError ? ours : (theirs ?? ours);
  if (error !== undefined) throw error;
}

function refusal(error: unknown, id: string, path: string): unknown {
  if (!(error instanceof ManagementRequestError && error.code === 'path-not-found')) return error;
  return new CliError(`${id}:${path}: no such file or directory in the container`, {
    cause: error,
  });
}

function withoutDot(path: string): string {
  return path.replace(/\/\.$/, '') || '/';
}

function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return false;
    throw error;
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return false;
    throw error;
  }
}

/** For the basic regular expressions of tar's --transform. */
function forPattern(text: string): string {
  return text.replace(/[\\^$.*[\],]/g, '\\$&');
}

function forReplacement(text: string): string {
  return text.replace(/[\\&,]/g, '\\$&');
}
