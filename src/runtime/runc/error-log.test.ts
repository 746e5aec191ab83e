import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ErrorLog, errorsInLog, lastLine } from './error-log.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync('/tmp/error-log-');
});
afterEach(() => rmSync(directory, { recursive: true }));

function line(level: string, msg: string): string {
  return `${JSON.stringify({ level, msg, time: '2024-01-01T00:00:00Z' })}\n`;
}

describe('errorsInLog', () => {
  it('takes errors, in order, and passes over all else', () => {
    const log = `${line('warning', 'w')}${line('error', 'a')}{"level":"error"}\n{"level":"error","msg":7}\nnull\n[]\n{cut\n${line('fatal', 'b')}${line('error', 'fail startup')}`;
    expect(errorsInLog(log)).toEqual(['a', 'b']);
  });
});

describe('ErrorLog', () => {
  it('sees only what was written after it began', () => {
    const path = join(directory, 'runc.log');
    writeFileSync(path, line('error', 'old'));
    const log = new ErrorLog(path);
    expect(log.lastError('')).toBeUndefined();
    appendFileSync(path, line('error', 'new'));
    expect(log.lastError('')).toBe('new');
  });

  it('prefers the command it is read for to one beside it', () => {
    const path = join(directory, 'runc.log');
    const log = new ErrorLog(path);
    expect(log.lastError('exec failed')).toBeUndefined();
    writeFileSync(path, line('error', 'exec failed: x') + line('error', 'container not running'));
    expect(log.lastError('exec failed')).toBe('exec failed: x');
    expect(log.lastError('runc create failed')).toBe('container not running');
  });

  it('reads no more than the end of a log that grew', () => {
    const path = join(directory, 'runc.log');
    const log = new ErrorLog(path);
    const filler = line('error', 'x'.repeat(1000)).repeat(2000);
    writeFileSync(path, filler + line('error', 'the end'));
    expect(log.lastError('')).toBe('the end');
  });
});

describe('lastLine', () => {
  it('is the last that says something', () => {
    expect(lastLine('a\nb\n\n')).toBe('b');
    expect(lastLine('a\nfail startup\n')).toBe('a');
    expect(lastLine('\n')).toBeUndefined();
  });
});
