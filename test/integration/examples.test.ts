/** The examples of the documents and of the public modules, run as they stand. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AgentProcess } from '../support/agent-process.ts';
import { withManagement } from '../support/management.ts';
import { makeRootfs } from '../support/rootfs.ts';
import { useRootfs } from '../support/suite.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Where the examples have a file system; the agent sees it as we do. */
let rootfs: string;

useRootfs();
beforeAll(() => {
  rootfs = makeRootfs(mkdtempSync(join(tmpdir(), 'gcs-example-')));
});
afterAll(() => rmSync(rootfs, { recursive: true, force: true }));

/** The block of README.md that contains `word`. */
function fromReadme(word: string): string {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block = '']) => block);
  const found = blocks.filter((block) => block.includes(word));
  expect(found).toHaveLength(1);
  return found.join();
}

/** The indented lines of a module's first comment, below imports of what the module exports. */
function fromComment(path: string): string {
  const [comment = ''] = /^\/\*\*.*?\*\//s.exec(readFileSync(join(ROOT, path), 'utf8')) ?? [];
  const lines = [...comment.matchAll(/^ \* {5}(.*)$/gm)].map(([, line]) => line);
  expect(lines.length).toBeGreaterThan(2);
  const names = 'defaultSpec, EmulatedHost, GuestClient';
  return [
    `import { ${names} } from './src/client/index.ts';`,
    `import { connectManagement } from './src/client/management/index.ts';`,
    `const spec = defaultSpec({ args: ['echo', 'hello'], rootfs: '/srv/rootfs' });`,
    ...lines,
  ].join('\n');
}

/** Runs an example in a process of its own, with its paths replaced by ours. */
async function withExample(
  source: string,
  path: string,
  body: (process: ChildProcess & { stdout: NodeJS.ReadableStream }) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-example-'));
  const file = join(directory, 'example.mts');
  const ours = source
    .replaceAll("'./src/", `'${ROOT}src/`)
    .replaceAll(/'\/run\/vm(\.sock|\/vsock)'/g, `'${path}'`)
    .replaceAll("'/srv/rootfs'", `'${rootfs}'`);
  writeFileSync(file, ours);
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  try {
    await body(child);
  } finally {
    child.kill();
    await ended;
    rmSync(directory, { recursive: true, force: true });
  }
}

async function linesOfHello(source: string, path: string): Promise<void> {
  await withExample(source, path, async (child) => {
    const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    // What the container printed and what the host did are two streams.
    expect(output.split('\n').sort()).toEqual(['', 'exit code 0', 'hello']);
    expect(code).toBe(0);
  });
}

test.each([
  ["README.md's example of a host", () => fromReadme('GuestClient')],
  ['the example of src/client/', () => fromComment('src/client/index.ts')],
])('%s runs a container and prints what it says', async (_name, source) => {
  await using agent = new AgentProcess();
  await agent.orExit(linesOfHello(source(), agent.path));
});

test("README.md's example of a manager runs ps in a container and sees its events", () =>
  withManagement(async (managed) => {
    await managed.run('hello', { args: ['sleep', '1000'] });
    const source = fromReadme('connectManagement');
    // It follows what happens from then on: there is to be something.
    const told = "client.events({ onSubscribed: () => console.log('subscribed') })";
    expect(source).toContain('client.events()');
    await withExample(source.replace('client.events()', told), managed.path, async (child) => {
      let output = '';
      for await (const line of createInterface(child.stdout)) {
        output += `${line}\n`;
        if (line === 'subscribed') await managed.call('container.pause', { id: 'hello' });
        if (line.includes("kind: 'pause'")) break;
      }
      expect(output).toContain('exit code 0');
      expect(output).toContain('sleep 1000');
    });
    await managed.remove('hello');
  }));

test('the example of src/client/management/ runs a container and deletes it', () =>
  withManagement(async (managed) => {
    const source = fromComment('src/client/management/index.ts');
    await withExample(
      `${source}\nconsole.log('exit code', exitCode);`,
      managed.path,
      async (child) => {
        const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
        expect(output.split('\n').sort()).toEqual(['', 'exit code 0', 'hello']);
        expect(code).toBe(0);
      },
    );
    expect(await managed.call('container.list', {})).toEqual({ containers: [] });
  }));
