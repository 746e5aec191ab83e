/** What the documents name is there: links, paths, commands, flags, variables. */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { agentFlagSpecs, usage } from '../../src/agent/flags.ts';
import { commands } from '../../src/cli/commands.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FOLDERS = ['bench', 'bin', 'native', 'proto', 'scripts', 'src', 'test', 'vm-image'];

const paths = globSync(['*.md', `{${FOLDERS.join()}}/**/*.md`], { cwd: ROOT }).sort();
const documents = paths.map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));

/** All matches of the first group, as "document: what". */
function missing(
  pattern: RegExp,
  isThere: (match: string, document: { path: string; text: string }) => boolean,
): string[] {
  return documents.flatMap((document) =>
    [...document.text.matchAll(pattern)]
      .map(([, match = '']) => match)
      .filter((match) => !isThere(match, document))
      .map((match) => `${document.path}: ${match}`),
  );
}

/** As GitHub names the headings of a page. */
function anchors(text: string): string[] {
  const headings = text.replace(/^```.*?^```/gms, '').matchAll(/^#+ (.*)$/gm);
  return [...headings].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

test('links lead to files and headings that are there', () => {
  const dead = missing(/\]\((?!https?:)([^)\s]+)\)/g, (link, document) => {
    const [file = '', anchor] = link.split('#');
    const target = file === '' ? document.path : normalize(join(dirname(document.path), file));
    if (!existsSync(join(ROOT, target))) return false;
    return (
      anchor === undefined || anchors(readFileSync(join(ROOT, target), 'utf8')).includes(anchor)
    );
  });
  expect(dead).toEqual([]);
});

/** `src/os/fd.ts`, `src/os/`, `relay*.c`, with a line of options or a heading behind it or not. */
const PATH = /`((?:[\w.*-]+\/)*[\w.*-]+(?:\/|\.(?:ts|c|h|mjs|cjs|sh|md|json|test\.ts)))`/g;

test('paths in the text are those of files and folders', () => {
  const bases = (path: string): string[] => ['', dirname(path)];
  // What a build makes, and what is in a bundle, a VM or an image.
  const elsewhere = /^(build|c|p|network|storage)\/|^(config|manifest|process)\.json$|^limits\.ts$/;
  const dead = missing(PATH, (name, { path }) => {
    if (elsewhere.test(name)) return true;
    return bases(path).some((base) => globSync(join(base, name), { cwd: ROOT }).length > 0);
  });
  expect(dead).toEqual([]);
});

test('npm scripts are there', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  expect(missing(/npm run ([\w:-]+)/g, (name) => name in scripts)).toEqual([]);
  expect(missing(/npm (start|test)\b/g, (name) => name in scripts)).toEqual([]);
});

/** A command line in a block or between backticks, up to what is no option of the program's own. */
const CALL = /(?:^ {4}(?:\$ )?|`)((?:bin\/)?gcs(?:ctl)? [^`\n#]*)/gm;

function unknownIn(call: string): string[] {
  const [program = '', ...words] = (call.split(/ -- /)[0] ?? '').trim().split(/\s+/);
  if (program.endsWith('gcs')) return unknownFlags(words);
  const command = commands.find(({ name, aliases = [] }) =>
    [name, ...aliases].some((each) => `${words.join(' ')} `.startsWith(`${each} `)),
  );
  if (command === undefined)
    return /^(-|[A-Z]+$)/.test(words[0] ?? '-') ? [] : [`no command ${words[0]}`];
  const names = words.flatMap((word) => /^--([\w-]+)/.exec(word)?.[1] ?? []);
  const known = new Set([...Object.keys(command.options), 'help']);
  return names.filter((name) => !known.has(name) && !known.has(name.replace(/^no-/, '')));
}

function unknownFlags(words: readonly string[]): string[] {
  const names = words.flatMap((word) => /^--?([\w-]+)/.exec(word)?.[1] ?? []);
  return names.filter((name) => !(name in agentFlagSpecs) && !['supervise', 'help'].includes(name));
}

test('command lines of the programs have commands, options and flags that are there', () => {
  const all = documents.flatMap(({ text }) => [...text.matchAll(CALL)]);
  expect(all.length).toBeGreaterThan(30);
  const wrong = missing(CALL, (call) => unknownIn(call).length === 0);
  expect(wrong).toEqual([]);
});

test("README.md's table has all flags of the agent, and no others", () => {
  const { text = '' } = documents.find(({ path }) => path === 'README.md') ?? {};
  const rows = [...text.matchAll(/^\| (`-.*?) \|/gm)].flatMap(([, cell = '']) => [
    ...cell.matchAll(/`-([\w-]+)/g),
  ]);
  const listed = rows.map(([, name]) => name);
  const real = [...Object.keys(agentFlagSpecs), 'supervise', 'help'];
  expect(usage).toContain('-supervise');
  expect(listed.sort()).toEqual(real.sort());
});

test('environment variables are read somewhere', () => {
  const files = execFileSync('grep', ['-rlE', 'GCS_[A-Z]', ...FOLDERS, 'vitest.config.ts'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const sources = files
    .split('\n')
    .filter(
      (path) =>
        path !== '' && !path.endsWith('.md') && basename(path) !== basename(import.meta.filename),
    )
    .map((path) => readFileSync(join(ROOT, path), 'utf8'))
    .join('\n');
  expect(missing(/\b(GCS_[A-Z0-9_]+)\b/g, (name) => sources.includes(name))).toEqual([]);
});

test('a folder of src/ is in the table of layers, and imports point down it', () => {
  const { text = '' } = documents.find(({ path }) => path === 'ARCHITECTURE.md') ?? {};
  const floors = new Map<string, number>();
  for (const [, floor, cell = ''] of text.matchAll(/^\| (\d) \| (.*?) \|/gm)) {
    for (const [, name = ''] of cell.matchAll(/`src\/([\w.]+)\/?`/g))
      floors.set(name, Number(floor));
  }
  const files = globSync('src/**/*.ts', { cwd: ROOT }).filter(
    (path) => !/\.test\.ts$|\/testing\/|\/fixtures\//.test(path),
  );
  const folderOf = (path: string): string => path.split('/')[1] ?? '';
  // The host's half stands beside the floors; the two files below all of them.
  const beside = ['client', 'vm', 'image', 'errors.ts', 'json.ts'];
  const unknown = files.map(folderOf).filter((name) => !floors.has(name) && !beside.includes(name));
  expect([...new Set(unknown)]).toEqual([]);
  const upward = files.flatMap((path) =>
    [...readFileSync(join(ROOT, path), 'utf8').matchAll(/(?:from|import\() ?'(\.[^']+)'/g)]
      .map(([, target = '']) => normalize(join(dirname(path), target)))
      .filter((target) => {
        const [from, to] = [path, target].map((each) => floors.get(folderOf(each)));
        return from !== undefined && to !== undefined && to > from;
      })
      .map((target) => `${path} → ${target}`),
  );
  expect(upward).toEqual([]);
});
