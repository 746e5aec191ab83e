import { resolve } from 'node:path';
import { defineCommand } from '../command.ts';
import { copyIn, copyInArchive, copyOut, copyOutArchive } from '../door/copy.ts';
import { findContainer } from '../door/names.ts';
import { openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { EXIT_OK, UsageError } from '../exit-codes.ts';

export const cpCommand = defineCommand({
  name: 'cp',
  summary: 'copy files between a container and here',
  usage: ['[OPTIONS] CONTAINER:PATH DEST', '[OPTIONS] SRC CONTAINER:PATH'],
  description: [
    'Copies a file or a directory with all that is in it. An existing directory as the destination takes it under its name; any other destination is what it becomes. SRC/. is the content of a directory without the directory itself.',
    'With - it is a tar archive: as DEST it is written to stdout, as SRC one from stdin is unpacked into the directory PATH.',
    'Copies belong to who copies (in the container, to root) unless --archive keeps owners. Devices, fifos and extended attributes are not copied.',
  ],
  options: {
    ...doorOptions,
    archive: { kind: 'flag', short: 'a', help: 'keep owners and groups, by number' },
  },
  examples: [
    ['cp web:/etc/hosts .', 'a file from the container'],
    ['cp site/. web:/srv/www', 'what is in a directory, to the container'],
    ['cp web:/var/log - | tar -tv', 'as an archive'],
  ],
  async run(values, [from, to, more], io) {
    if (from === undefined || to === undefined)
      throw new UsageError('cp takes a source and a destination');
    if (more !== undefined) throw new UsageError(`unexpected argument "${more}"`);
    const [source, destination] = [parsePlace(from), parsePlace(to)];
    if ((source.container === undefined) === (destination.container === undefined)) {
      throw new UsageError(
        'one of source and destination is CONTAINER:PATH, the other a path here',
      );
    }
    await using door = await openDoor(values, io);
    const { archive } = values;
    if (source.container !== undefined) {
      const place = { id: await findContainer(door, source.container), path: source.path };
      if (to === '-') await copyOutArchive(door, place, io);
      else await copyOut(door, place, local(destination.path, io.cwd), { archive });
      return EXIT_OK;
    }
    const place = {
      id: await findContainer(door, destination.container ?? ''),
      path: destination.path,
    };
    if (from === '-') await copyInArchive(door, place, io);
    else await copyIn(door, local(source.path, io.cwd), place, { archive });
    return EXIT_OK;
  },
});

interface Place {
  readonly container: string | undefined;
  readonly path: string;
}

/** "web:/etc" is in a container; "./a:b", "/a:b" and what has no colon are here. Throws UsageError. */
function parsePlace(text: string): Place {
  const match = /^([\w+.-]+):(.*)$/s.exec(text);
  if (match === null || text.startsWith('.') || text.startsWith('/')) {
    if (text === '') throw new UsageError('a path may not be empty');
    return { container: undefined, path: text };
  }
  const [, container = '', path = ''] = match;
  if (path === '') throw new UsageError(`${text}: the PATH in the container is missing`);
  if (path.split('/').includes('..'))
    throw new UsageError(`${text}: a PATH in a container has no ..`);
  return { container, path: path.startsWith('/') ? path : `/${path}` };
}

/** Absolute, with the "/" or "/." at its end that says something. */
function local(path: string, cwd: string): string {
  const absolute = resolve(cwd, path);
  if (/(^|\/)\.$/.test(path)) return `${absolute}/.`;
  return path.endsWith('/') && absolute !== '/' ? `${absolute}/` : absolute;
}
