import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { resolveUser } from './user.ts';

const passwd = `root:x:0:0:root:/root:/bin/sh
# a comment
tester:x:1000:1001:Tester:/home/tester:/bin/sh

short:x:1
letters:x:a:b::/:/bin/sh
huge:x:4294967296:0::/:/bin/sh
twice:x:7:70::/:/bin/sh
twice:x:8:80::/:/bin/sh
same:x:7:71::/:/bin/sh
4000:x:9:90::/:/bin/sh
  spaced:x:11:110::/:/bin/sh
`;
const group = `root:x:0:
audio:x:29:tester
tester:x:1001:
bad:x:
`;

function makeRoot(files: Record<string, string> = { passwd, group }): string {
  const root = mkdtempSync(join(tmpdir(), 'gcs-user-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'etc'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, 'etc', name), text);
  return root;
}

describe('a user named by the host', () => {
  test.each([
    ['tester', 1000, 1001],
    ['1000', 1000, 1001],
    ['tester:audio', 1000, 29],
    ['tester:29', 1000, 29],
    ['1000:audio', 1000, 29],
    ['1000:5555', 1000, 5555],
    ['5000', 5000, 0],
    ['5000:6000', 5000, 6000],
    ['0', 0, 0],
    ['4294967295:4294967295', 4294967295, 4294967295],
    ['spaced', 11, 110],
  ])('%s is %i:%i', async (username, uid, gid) => {
    expect(await resolveUser(makeRoot(), username)).toEqual({ uid, gid });
  });

  test('the first entry of a name or an id counts', async () => {
    expect(await resolveUser(makeRoot(), 'twice')).toEqual({ uid: 7, gid: 70 });
    expect(await resolveUser(makeRoot(), '7')).toEqual({ uid: 7, gid: 70 });
  });

  test('digits are an id even where a user has them for a name', async () => {
    expect(await resolveUser(makeRoot(), '4000')).toEqual({ uid: 4000, gid: 0 });
  });

  test.each([
    'nobody-here',
    '',
    ':0',
    'tester:',
    'tester:nogroup',
    'tester:bad',
    'a:b:c',
    '-1',
    '4294967296',
    '0:-1',
    '0:4294967296',
    '99999999999999999999',
    'short',
    'letters',
    'huge',
    '# a comment',
    'x',
  ])('%j is refused with the field named', async (username) => {
    await expect(resolveUser(makeRoot(), username, 'P.user.username')).rejects.toMatchObject({
      name: 'AgentError',
      code: 'invalid-argument',
      field: 'P.user.username',
    });
  });

  test('numbers need no database, names do', async () => {
    const root = makeRoot({});
    expect(await resolveUser(root, '12:34')).toEqual({ uid: 12, gid: 34 });
    expect(await resolveUser(root, '12')).toEqual({ uid: 12, gid: 0 });
    await expect(resolveUser(root, 'root')).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  test('a database that is not readable as one is refused, not taken as empty', async () => {
    const large = makeRoot({ passwd: 'x'.repeat(1024 * 1024 + 1) });
    await expect(resolveUser(large, '0')).rejects.toThrow(/larger than/);
    const root = makeRoot({});
    mkdirSync(join(root, 'etc/passwd'));
    await expect(resolveUser(root, 'root')).rejects.toThrow(/not a regular file/);
  });
});
