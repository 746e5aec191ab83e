/** The measuring programs in native/, compiled when first needed. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

export function toolPath(name: string): string {
  return fileURLToPath(new URL(`../build/bench/${name}`, import.meta.url));
}

/** The path of the program that native/NAME.c makes. */
export function buildTool(name: string): string {
  const source = fileURLToPath(new URL(`native/${name}.c`, import.meta.url));
  const program = toolPath(name);
  if (existsSync(program) && statSync(program).mtimeMs >= statSync(source).mtimeMs) return program;
  mkdirSync(dirname(program), { recursive: true });
  // Static: what a program takes to find its libraries would be measured too.
  execFileSync('gcc', ['-O2', '-static', '-Wall', '-Wextra', '-Werror', '-o', program, source], {
    stdio: 'inherit',
  });
  return program;
}
