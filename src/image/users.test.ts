import { expect, test } from 'vitest';
import type { UserFilesOfLayer } from './user-files.ts';
import { resolveImageUser } from './users.ts';

const text = (value: string): { text: string } => ({ text: value });
const layers: UserFilesOfLayer[] = [
  { 'etc/passwd': text('old:x:1:1::/:\n') },
  {
    'etc/passwd': text('root:x:0:0:::\nbad\nweb:x:10:20::/:\nweb:x:99:99::/:\n'),
    'etc/group': text('web:x:20:web\nextra:x:30:other,web\nmore:x:31:webs\n'),
  },
  {},
];

test.each([
  ['', { uid: 0, gid: 0, additionalGids: [] }],
  ['web', { uid: 10, gid: 20, additionalGids: [30] }],
  ['10', { uid: 10, gid: 20, additionalGids: [30] }],
  ['77', { uid: 77, gid: 0, additionalGids: [] }],
  ['web:extra', { uid: 10, gid: 30, additionalGids: [] }],
  ['5:6', { uid: 5, gid: 6, additionalGids: [] }],
])('"%s"', (user, expected) => {
  expect(resolveImageUser(user, layers)).toEqual(expected);
});

test.each([
  ['old', /no user "old"/],
  ['web:none', /no group "none"/],
  [':', /not USER/],
  ['a:b:c', /not USER/],
  ['4294967295', /no user id/],
  ['1:4294967295', /no group id/],
])('refused: "%s"', (user, message) => {
  expect(() => resolveImageUser(user, layers)).toThrow(message);
});

test('numbers need no files; names need plain ones that are there', () => {
  expect(resolveImageUser('5:6', [])).toMatchObject({ uid: 5, gid: 6 });
  const hidden: UserFilesOfLayer[] = [...layers, { 'etc/passwd': null }];
  expect(() => resolveImageUser('web', hidden)).toThrow('no user');
  const link: UserFilesOfLayer[] = [...layers, { 'etc/passwd': 'unknown' }];
  expect(() => resolveImageUser('web', link)).toThrow('no plain file');
  expect(resolveImageUser('10', link)).toMatchObject({ uid: 10, gid: 0 });
});
