import { join } from 'node:path';
import { describe } from 'vitest';
import { cases } from '../support/storage/layers-cases.ts';
import { testCases } from '../support/storage/private-mounts.ts';

describe('combined layers', () => {
  testCases(join(import.meta.dirname, '../support/storage/layers-cases.ts'), cases);
});
