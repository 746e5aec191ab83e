import { expect, test } from 'vitest';
import { parseMountInfo } from './mountinfo.ts';

test('paths are decoded, and optional fields do not shift the others', () => {
  const plain = '43 42 254:0 / /mnt rw,relatime - ext4 /dev/vda rw,discard';
  const encoded =
    '51 43 0:26 /a\\040b /mnt/t\\134\\011\\303\\244/ü rw shared:9 master:2 - fuse.x some\\040thing ro';
  const table = Buffer.from(`${plain}\n${encoded}\n`, 'utf8').toString('latin1');
  expect(parseMountInfo(table)).toEqual([
    { id: 43, parent: 42, root: '/', path: '/mnt', type: 'ext4', options: ['rw', 'discard'] },
    { id: 51, parent: 43, root: '/a b', path: '/mnt/t\\\tä/ü', type: 'fuse.x', options: ['ro'] },
  ]);
});
