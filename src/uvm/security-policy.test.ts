import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { silentLogger } from '../log/logger.ts';
import { Journal } from '../state/journal.ts';
import { readState } from '../state/recover.ts';
import { SecurityPolicy } from './security-policy.ts';

const nowhere = new Journal(undefined, silentLogger);
const base64 = (text: string) => Buffer.from(text).toString('base64');
const none = {
  EnforcerType: '',
  EncodedSecurityPolicy: '',
  EncodedUVMReference: '',
  EncodedUVMHashEnvelopeReference: '',
};
const allowAll = { ...none, EncodedSecurityPolicy: base64('{"allow_all":true,"containers":{}}') };
const refused = (code: string, field: string) =>
  expect.objectContaining({ code, field: `Request.Settings.${field}` });

describe('a security policy', () => {
  test.each([
    ['none', none],
    ['one that allows all', allowAll],
  ])('%s is taken, once', async (_, settings) => {
    const policy = new SecurityPolicy(nowhere);
    await policy.set(settings);
    await expect(policy.set(settings)).rejects.toThrow('security policy has already been set');
  });

  test('is offered to containers with what proves the VM', async () => {
    const policy = new SecurityPolicy(nowhere);
    expect(policy.documents).toEqual([]);
    await policy.set({ ...allowAll, EncodedUVMReference: base64('proof') });
    expect(policy.documents).toEqual([
      { name: 'security-policy-base64', content: allowAll.EncodedSecurityPolicy },
      { name: 'reference-info-base64', content: base64('proof') },
    ]);
  });

  test('is known to the agent that comes after', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'gcs-policy-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = join(directory, 'state');
    const first = new SecurityPolicy(new Journal(path, silentLogger));
    await first.set({ ...allowAll, EncodedUVMReference: base64('proof') });
    const next = new SecurityPolicy(nowhere);
    next.restore(readState(path, silentLogger).policy);
    expect(next.documents).toEqual(first.documents);
    await expect(next.set(allowAll)).rejects.toThrow('security policy has already been set');
  });

  test.each([
    {},
    { documents: 'x' },
    { documents: [null] },
    { documents: [{ name: '../x', content: '' }] },
  ])('a record that is none is not taken up: %j', (record) => {
    const policy = new SecurityPolicy(nowhere);
    expect(() => policy.restore([record])).toThrow('has no documents');
    expect(policy.documents).toEqual([]);
  });

  test.each([
    ['rules', 'package policy\ncreate_container := {"allowed": false}'],
    ['a list of containers', '{"allow_all":false,"containers":{"length":1}}'],
    ['text that says it', '{"allow_all":"true"}'],
    ['nothing of that form', 'null'],
  ])('with %s is refused rather than not enforced', async (_, text) => {
    const policy = new SecurityPolicy(nowhere);
    const settings = { ...none, EncodedSecurityPolicy: base64(text) };
    await expect(policy.set(settings)).rejects.toEqual(
      refused('not-supported', 'EncodedSecurityPolicy'),
    );
    expect(policy.documents).toEqual([]);
    await policy.set(none);
  });

  test('a field that is not base64 is named', async () => {
    for (const field of ['EncodedSecurityPolicy', 'EncodedUVMReference'] as const) {
      const settings = { ...none, [field]: 'no base64!' };
      await expect(new SecurityPolicy(nowhere).set(settings)).rejects.toEqual(
        refused('invalid-argument', field),
      );
    }
  });

  test('a fragment adds to what is allowed already; one that is none is refused', async () => {
    const policy = new SecurityPolicy(nowhere);
    await policy.addFragment(base64('more'));
    for (const fragment of ['', '*']) {
      await expect(policy.addFragment(fragment)).rejects.toEqual(
        refused('invalid-argument', 'Fragment'),
      );
    }
  });
});
