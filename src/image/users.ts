import { ImageError } from './errors.ts';
import type { UserFile, UserFilesOfLayer } from './user-files.ts';

const MAX_ID = 0xffff_fffe;

export interface ImageUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

/**
 * "USER[:GROUP]", names or numbers, by the passwd(5) and group(5) of an image's layers (the lowest
 * first). Without a group the user has its own and all that name it, as with other engines. Throws
 * ImageError 'no-match' for a name that is not there.
 */
export function resolveImageUser(text: string, layers: readonly UserFilesOfLayer[]): ImageUser {
  if (text === '') return { uid: 0, gid: 0, additionalGids: [] };
  const [user = '', group, ...more] = text.split(':');
  if (user === '' || group === '' || more.length > 0) {
    throw noMatch(`the user ${JSON.stringify(text)} is not USER or USER:GROUP`);
  }
  const account = findUser(user, layers);
  if (group !== undefined) {
    return { uid: account.uid, gid: findGroup(group, layers), additionalGids: [] };
  }
  const groups = entries('etc/group', layers, false);
  const additionalGids = groups.flatMap(([, , gid, members = '']) => {
    const named = account.name !== undefined && members.split(',').includes(account.name);
    const number = idOf(gid);
    return named && number !== undefined && number !== account.gid ? [number] : [];
  });
  return { uid: account.uid, gid: account.gid, additionalGids: [...new Set(additionalGids)] };
}

function findUser(
  user: string,
  layers: readonly UserFilesOfLayer[],
): { uid: number; gid: number; name: string | undefined } {
  const number = /^\d+$/.test(user) ? idOf(user) : undefined;
  if (number === undefined && /^\d+$/.test(user)) throw noMatch(`${user} is no user id`);
  for (const [name, , uidText, gidText] of entries('etc/passwd', layers, number === undefined)) {
    const uid = idOf(uidText);
    const gid = idOf(gidText);
    if (uid === undefined || gid === undefined) continue;
    if (number === undefined ? name === user : uid === number) return { uid, gid, name };
  }
  if (number === undefined) throw noMatch(`the image's /etc/passwd has no user "${user}"`);
  return { uid: number, gid: 0, name: undefined };
}

function findGroup(group: string, layers: readonly UserFilesOfLayer[]): number {
  if (/^\d+$/.test(group)) {
    const number = idOf(group);
    if (number === undefined) throw noMatch(`${group} is no group id`);
    return number;
  }
  const entry = entries('etc/group', layers, true).find(([name]) => name === group);
  const gid = idOf(entry?.[2]);
  if (gid === undefined) throw noMatch(`the image's /etc/group has no group "${group}"`);
  return gid;
}

/** The file as the topmost layer that speaks of it has it. `needed`: a file that cannot be read is an error. */
function entries(file: UserFile, layers: readonly UserFilesOfLayer[], needed: boolean): string[][] {
  const found = layers.findLast((layer) => layer[file] !== undefined)?.[file];
  if (found === 'unknown' && needed) {
    throw noMatch(`the image's /${file} is no plain file: give numbers, --user UID:GID`);
  }
  if (found === undefined || found === null || found === 'unknown') return [];
  return found.text.split('\n').map((line) => line.split(':'));
}

function idOf(text: string | undefined): number | undefined {
  const id = /^\d{1,10}$/.test(text ?? '') ? Number(text) : Number.NaN;
  return id <= MAX_ID ? id : undefined;
}

function noMatch(why: string): ImageError {
  return new ImageError('no-match', why);
}
