import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-lock-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

test('programs under one lock run one after the other, with their own exit codes', async () => {
  const log = join(directory, 'log');
  const program = join(directory, 'program.ts');
  const lock = new URL('./lock.ts', import.meta.url).href;
  writeFileSync(
    program,
    `import { appendFileSync } from 'node:fs';
     import { setTimeout } from 'node:timers/promises';
     import { runUnderLock } from ${JSON.stringify(lock)};
     const code = runUnderLock(${JSON.stringify(join(directory, 'sub/lock'))});
     if (code === undefined) {
       appendFileSync(${JSON.stringify(log)}, 'begin\\n');
       await setTimeout(200);
       appendFileSync(${JSON.stringify(log)}, 'end\\n');
     }
     process.exitCode = code ?? Number(process.argv[2]);`,
  );
  const runs = [3, 4, 5].map(async (code) => {
    const child = spawn(process.execPath, [program, `${code}`]);
    const [errors, [exitCode]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    expect(exitCode).toBe(code);
    return errors;
  });
  const errors = (await Promise.all(runs)).join('');
  expect(readFileSync(log, 'utf8')).toBe('begin\nend\n'.repeat(3));
  expect(errors).toContain('another build is under way, waiting for its end');
}, 20_000);
