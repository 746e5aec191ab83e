import { join } from 'node:path';
import { describe } from 'vitest';
import { cases } from '../support/storage/disk-cases.ts';
import { testCases } from '../support/storage/private-mounts.ts';

describe('disks', () => {
  testCases(join(import.meta.dirname, '../support/storage/disk-cases.ts'), cases);
});
