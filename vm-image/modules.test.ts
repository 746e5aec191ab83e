import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ModuleTree, modulesAlias, modulesDep } from './modules.ts';

let root: string;
let tree: ModuleTree;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gcs-modules-'));
  const module = (name: string, ...info: string[]): void => {
    mkdirSync(join(root, '6.1/kernel/x'), { recursive: true });
    writeFileSync(join(root, `6.1/kernel/x/${name}.ko`), `\x7fELF\0${info.join('\0')}\0`);
  };
  module('base', 'license=GPL', 'depends=');
  module('mid-way', 'depends=base,builtin_one');
  module('top', 'alias=pci:v1*', 'depends=mid_way', 'softdep=pre: helper missing post: late');
  module('helper', 'depends=', 'alias=fs-helper');
  writeFileSync(join(root, '6.1/modules.builtin'), 'kernel/y/builtin-one.ko\n');
  tree = new ModuleTree(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test('every module stands behind what it needs; what is built in is left out', () => {
  const names = tree.closure(['top', 'base', 'builtin_one']).map((each) => each.name);
  expect(names).toEqual(['helper', 'base', 'mid_way', 'top']);
});

test('a name the kernel does not know is an error, unless it is optional', () => {
  expect(() => tree.closure(['none'])).toThrow('kernel 6.1 has no module none');
  expect(tree.closure(['none'], new Set(['none']))).toEqual([]);
});

test('modprobe’s tables have hard dependencies, the nearest first, and aliases', () => {
  const all = tree.closure(['top']);
  expect(modulesDep(tree, all)).toBe(
    'kernel/x/base.ko:\nkernel/x/helper.ko:\nkernel/x/mid-way.ko: kernel/x/base.ko\n' +
      'kernel/x/top.ko: kernel/x/mid-way.ko kernel/x/base.ko\n',
  );
  expect(modulesAlias(all)).toBe('alias fs-helper helper\nalias pci:v1* top\n');
});
