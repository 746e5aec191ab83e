import { AgentError } from '../errors.ts';
import { invalid } from './fields.ts';
import { readFileInRoot } from './in-root.ts';

/** Longest passwd or group file that is read: tens of thousands of entries. */
const largestDatabase = 1024 * 1024;
const maxId = 0xffff_ffff;

export interface ResolvedUser {
  uid: number;
  gid: number;
}

/**
 * The ids of `username` in a container's /etc/passwd and /etc/group. Forms: `name`, `uid`,
 * `name:group`, `uid:gid` and mixes (OCI image spec, config "User"). A number need not be in
 * the files: an unknown uid alone has gid 0. The first entry of a name or id counts, as for
 * getpwnam(3); malformed lines are not entries.
 *
 * `root` is the directory of the container's file system, `field` names the text in errors.
 * AgentError 'invalid-argument' for an unknown name, an id beyond 32 bits, another form, and for
 * databases that cannot be read.
 */
export async function resolveUser(
  root: string,
  username: string,
  field = 'process.user.username',
): Promise<ResolvedUser> {
  const parts = username.split(':');
  const [userPart = '', groupPart] = parts;
  if (parts.length > 2) throw invalid(field, `${JSON.stringify(username)} is not USER[:GROUP]`);
  const user = await findUser(root, userPart, field);
  if (groupPart === undefined) return user;
  return { uid: user.uid, gid: await findGroup(root, groupPart, field) };
}

async function findUser(root: string, wanted: string, field: string): Promise<ResolvedUser> {
  const id = parseId(wanted, 'uid', field);
  const entries = await readDatabase(root, '/etc/passwd', field);
  for (const [name, , uidText, gidText] of entries) {
    const uid = entryId(uidText);
    const gid = entryId(gidText);
    if (uid === undefined || gid === undefined) continue;
    if (id === undefined ? name === wanted : uid === id) return { uid, gid };
  }
  if (id === undefined) throw invalid(field, `no user ${JSON.stringify(wanted)} in /etc/passwd`);
  return { uid: id, gid: 0 };
}

async function findGroup(root: string, wanted: string, field: string): Promise<number> {
  const id = parseId(wanted, 'gid', field);
  if (id !== undefined) return id;
  for (const [name, , gidText] of await readDatabase(root, '/etc/group', field)) {
    const gid = entryId(gidText);
    if (gid !== undefined && name === wanted) return gid;
  }
  throw invalid(field, `no group ${JSON.stringify(wanted)} in /etc/group`);
}

/** A number as the host writes one; undefined when it is a name. */
function parseId(text: string, what: 'uid' | 'gid', field: string): number | undefined {
  if (!/^[+-]?[0-9]+$/.test(text)) return undefined;
  const id = Number(text);
  if (id < 0 || id > maxId) throw invalid(field, `${what} ${text} is not in 0..${maxId}`);
  return id;
}

function entryId(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= maxId ? id : undefined;
}

/** Lines of passwd(5) or group(5), split into fields; none when there is no such file. */
async function readDatabase(root: string, path: string, field: string): Promise<string[][]> {
  let text: string | undefined;
  try {
    text = await readFileInRoot(root, path, largestDatabase);
  } catch (error) {
    const reason = AgentError.from(error).message;
    throw invalid(field, `cannot be looked up in the container's file system: ${reason}`, error);
  }
  return (text ?? '').split('\n').map((line) => line.trim().split(':'));
}
