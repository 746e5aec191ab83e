import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { protocolDocument } from '../../scripts/protocol-doc.ts';

test('PROTOCOL.md says what the catalogue says: run scripts/protocol-doc.ts when it does not', () => {
  const file = new URL('../../PROTOCOL.md', import.meta.url);
  expect(readFileSync(file, 'utf8')).toBe(protocolDocument());
});
