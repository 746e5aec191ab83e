import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { managementDocument } from '../../scripts/management-doc.ts';
import { SchemaError } from '../schema/schema.ts';
import { type MethodName, methods } from './contract.ts';
import { errorNumbers } from './errors.ts';

const names = Object.keys(methods) as MethodName[];

function problemOf(method: MethodName, params: unknown): string {
  try {
    methods[method].params.decode(params);
  } catch (error) {
    if (error instanceof SchemaError) return error.message;
    throw error;
  }
  return 'accepted';
}

test('MANAGEMENT.md says what the contract says: run scripts/management-doc.ts when it does not', () => {
  const file = new URL('../../MANAGEMENT.md', import.meta.url);
  expect(readFileSync(file, 'utf8')).toBe(managementDocument());
});

test('every error has a number of its own', () => {
  const numbers = Object.values(errorNumbers);
  expect(new Set(numbers).size).toBe(numbers.length);
});

describe('parameters', () => {
  test.each([
    ['container.state', {}, 'id: missing'],
    ['container.state', { id: 'a', ID: 'b' }, 'ID: unknown field'],
    ['container.state', { id: '../a' }, 'id: "../a" is no id'],
    ['container.state', { id: 'x'.repeat(1025) }, 'id: longer than 1024 bytes'],
    [
      'container.signal',
      { id: 'a', signal: 65 },
      'signal: expected the name or number of a signal',
    ],
    [
      'container.signal',
      { id: 'a', signal: 'rm -rf' },
      'signal: expected the name or number of a signal',
    ],
    [
      'container.stop',
      { id: 'a', timeoutMs: -1 },
      'timeoutMs: -1 is no whole number from 0 to 86400000',
    ],
    ['container.create', { id: 'a', log: { path: 'x' } }, 'log.path: "x" is no absolute path'],
    ['container.create', { id: 'a', trust: 'no' }, 'trust: "no" is none of trusted, untrusted'],
    [
      'container.create',
      { id: 'a', spec: { process: { args: [1] } } },
      'spec.process.args[0]: expected string, found number',
    ],
    [
      'process.exec',
      { containerId: 'a', process: {}, stdio: { stdin: 'x' } },
      'stdio.stdin: "x" is no stream token',
    ],
    ['process.resize', { containerId: 'a', width: 1 }, 'height: missing'],
    [
      'system.cpuProfile',
      { stream: '0'.repeat(32), seconds: 301 },
      'seconds: 301 is no whole number from 1 to 300',
    ],
    [
      'system.logLevel',
      { level: 'loud' },
      'level: "loud" is none of trace, debug, info, warning, error',
    ],
  ] as const)('%s %j: %s', (method, params, problem) => {
    expect(problemOf(method, params)).toBe(problem);
  });

  test('nothing that is JSON makes decoding fail in another way than SchemaError', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.jsonValue(), (method, value) => {
        if (value !== null) problemOf(method, value);
      }),
    );
  });
});

test('a result with fields of a newer agent is read without them', () => {
  const decoded = methods['system.logLevel'].result.decode({ level: 'info', since: 1 });
  expect(decoded).toEqual({ level: 'info' });
});

test('output that is not text survives', () => {
  const schema = methods['process.execSync'].result;
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  const encoded = schema.encode({
    exitCode: 0,
    stdout: bytes,
    stderr: new Uint8Array(),
    stdoutTruncated: false,
    stderrTruncated: false,
    timedOut: false,
    outputHeld: false,
    durationMs: 1,
  });
  expect(Buffer.compare(schema.decode(encoded).stdout, bytes)).toBe(0);
});
