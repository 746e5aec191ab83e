import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { bridgeLimits } from '../../src/bridge/limits.ts';
import { imageLimits } from '../../src/image/limits.ts';
import { managementLimits } from '../../src/management/limits.ts';
import { networkLimits } from '../../src/network/limits.ts';
import {
  defaultCriLogLimits,
  defaultDrainPolicy,
  streamPipeBytes,
} from '../../src/stdio/limits.ts';
import { storageLimits } from '../../src/storage/limits.ts';
import { uvmLimits } from '../../src/uvm/limits.ts';
import { operationLimits } from '../../src/uvm/management/limits.ts';
import { hotplugLimits } from '../../src/vm/limits.ts';
import { deviceLimits } from '../../src/vsock/emulator/device/limits.ts';

const text = readFileSync(new URL('../../LIMITS.md', import.meta.url), 'utf8');
const inSources = {
  ...bridgeLimits,
  ...uvmLimits,
  ...operationLimits,
  ...managementLimits,
  ...networkLimits,
  ...storageLimits,
  ...imageLimits,
  ...hotplugLimits,
  ...deviceLimits,
  ...defaultDrainPolicy,
  ...defaultCriLogLimits,
  streamPipeBytes,
};

test('LIMITS.md lists every limit of the limits.ts files with its value', () => {
  const rows = [...text.matchAll(/^\| `(\w+)` \| (\d+) \|/gm)];
  const listed = Object.fromEntries(rows.map(([, name, value]) => [name, Number(value)]));
  expect(listed).toEqual(inSources);
});

test('LIMITS.md names files that exist', () => {
  const named = [...text.matchAll(/`((?:src|test)\/[\w./-]+\.ts)`/g)].map(([, path]) => path);
  const missing = named.filter((path) => !existsSync(new URL(`../../${path}`, import.meta.url)));
  expect(missing).toEqual([]);
});
