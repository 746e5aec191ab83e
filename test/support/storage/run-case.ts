/** Runs one case of a module in this process: `node run-case.ts MODULE NAME`. See private-mounts.ts. */
import { pathToFileURL } from 'node:url';
import type { Cases } from './private-mounts.ts';

const [, , file = '', name = ''] = process.argv;
const { cases } = (await import(pathToFileURL(file).href)) as { cases: Cases };
const body = cases[name];
if (body === undefined) throw new Error(`${file} has no case ${JSON.stringify(name)}`);
await body();
