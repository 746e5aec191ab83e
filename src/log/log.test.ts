import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pipe } from '../os/pipe.ts';
import { socketPair } from '../os/socket.ts';
import { runWithLogFields, runWithoutLogFields } from './context.ts';
import { createLogger, type LoggerOptions, type RootLogger } from './create-logger.ts';
import { parseLogLevel } from './levels.ts';
import type { LogLevel } from './logger.ts';
import { SCRUBBED } from './scrub.ts';
import { timestamp } from './timestamp.ts';

function collect(options: Partial<LoggerOptions> = {}): { lines: string[]; log: RootLogger } {
  const lines: string[] = [];
  const sink = {
    write: (line: string) => void lines.push(line),
    flush() {},
    [Symbol.dispose]() {},
  };
  return { lines, log: createLogger({ format: 'json', level: 'trace', to: { sink }, ...options }) };
}

function fieldsOf(fields: Record<string, unknown>, scrub = true): Record<string, unknown> {
  const { lines, log } = collect({ scrub });
  log.info('m', fields);
  const { time, level, msg, ...rest } = JSON.parse(lines[0] ?? '');
  expect([typeof time, level, msg]).toEqual(['string', 'info', 'm']);
  return rest;
}

describe('entries', () => {
  test('JSON has the keys of logrus, one object a line', () => {
    const { lines, log } = collect();
    log.warning('two\nlines', { a: 1, deep: { b: [true, null] }, big: 2n ** 64n - 1n });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z","level":"warning","msg":"two\\nlines","a":1,"deep":\{"b":\[true,null\]\},"big":18446744073709551615\}\n$/,
    );
  });

  test('text is for people', () => {
    const { lines, log } = collect({ format: 'text' });
    log.error('it broke', { id: 'abc-1', n: 2, text: 'a b"c', list: [1], error: new Error('why') });
    expect(lines[0]).toMatch(
      /^time="[^"]+" level=error msg="it broke" id=abc-1 n=2 text="a b\\"c" list="\[1\]" error=why\n$/,
    );
  });

  test('a field with the name of a key of every entry is renamed', () => {
    expect(fieldsOf({ 'fields.other': 1 })).toEqual({ 'fields.other': 1 });
    const { lines, log } = collect();
    log.info('real', { msg: 'fake', level: 'fake', time: 'fake' });
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      msg: 'real',
      level: 'info',
      'fields.msg': 'fake',
      'fields.level': 'fake',
      'fields.time': 'fake',
    });
  });

  test('times sort as the entries were made', () => {
    const times = Array.from({ length: 1000 }, timestamp);
    expect(times).toEqual([...times].sort());
  });

  test('with() adds fields, the entry wins', () => {
    const { lines, log } = collect();
    log.with({ a: 1, b: 1 }).with({ b: 2, c: 2 }).info('m', { c: 3 });
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ a: 1, b: 2, c: 3 });
  });

  test('whatever the fields are, the entry is one line of JSON', () => {
    const cycle: Record<string, unknown> = { name: 'x' };
    cycle.self = cycle;
    const values = [
      cycle,
      () => 1,
      Symbol('s'),
      undefined,
      NaN,
      new Map([['k', 1]]),
      new Date(NaN),
    ];
    expect(fieldsOf({ values }).values).toHaveLength(values.length);
    fc.assert(
      fc.property(
        fc.string(),
        fc.dictionary(fc.string(), fc.anything({ withBigInt: true })),
        (msg, fields) => {
          const { lines, log } = collect();
          log.info(msg, fields);
          expect(lines).toHaveLength(1);
          expect(lines[0]?.indexOf('\n')).toBe((lines[0]?.length ?? 0) - 1);
          expect(JSON.parse(lines[0] ?? '').msg).toBe(msg);
        },
      ),
    );
  });

  test('an entry has a bound, and says what was cut', () => {
    const { lines, log } = collect();
    log.info('long text', { text: 'x'.repeat(1e6) });
    log.info('many values', { values: Array(1e5).fill('x'.repeat(100)) });
    log.info('x'.repeat(1e6));
    for (const line of lines) {
      expect(line.length).toBeLessThanOrEqual(65_536);
      expect(line).toContain('cut');
    }
  });
});

describe('levels', () => {
  const levels: LogLevel[] = ['trace', 'debug', 'info', 'warning', 'error'];

  test.each(levels)('%s shows itself and what is more severe', (level) => {
    const { lines, log } = collect({ level });
    for (const each of levels) log[each](each);
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(
      levels.slice(levels.indexOf(level)),
    );
    expect(levels.filter((each) => log.enabled(each))).toEqual(levels.slice(levels.indexOf(level)));
  });

  test.each([
    ['trace', 'trace'],
    ['DEBUG', 'debug'],
    ['warn', 'warning'],
    ['Warning', 'warning'],
    ['fatal', 'error'],
    ['panic', 'error'],
    ['loud', undefined],
    ['constructor', undefined],
    ['', undefined],
  ])('the name %j is %s', (name, level) => {
    expect(parseLogLevel(name)).toBe(level);
  });
});

describe('the context of a request', () => {
  test('reaches every entry that is made in it, across awaits', async () => {
    const { lines, log } = collect();
    await runWithLogFields({ traceID: 't' }, async () => {
      log.info('one');
      await new Promise((next) => setImmediate(next));
      log.with({ a: 1 }).info('two');
      runWithoutLogFields(() => log.info('three'));
    });
    log.info('four');
    expect(lines.map((line) => JSON.parse(line).traceID)).toEqual(['t', 't', undefined, undefined]);
  });
});

describe('secrets', () => {
  test('values of environments go, names stay', () => {
    expect(
      fieldsOf({ env: ['A=b', 'B=', 'C'], spec: { process: { env: ['P=hunter2=x'] } } }),
    ).toEqual({
      env: [`A=${SCRUBBED}`, `B=${SCRUBBED}`, 'C'],
      spec: { process: { env: [`P=${SCRUBBED}`] } },
    });
    expect(fieldsOf({ Environment: { A: 'b' } })).toEqual({ Environment: { A: SCRUBBED } });
  });

  test('so they do from JSON in a string', () => {
    const text = JSON.stringify({ OciProcess: { env: ['A=b'], big: 0 } }).replace(
      '0',
      '18446744073709551615',
    );
    expect(fieldsOf({ ProcessParameters: text })).toEqual({
      ProcessParameters: `{"OciProcess":{"env":["A=${SCRUBBED}"],"big":18446744073709551615}}`,
    });
  });

  test.each([
    'password',
    'Password',
    'registryPassword',
    'api_key',
    'TOKEN',
    'client-secret',
    'privateKey',
  ])('the field %s', (name) => {
    expect(fieldsOf({ [name]: 'x', list: [{ [name]: { deep: 'x' } }] })).toEqual({
      [name]: SCRUBBED,
      list: [{ [name]: SCRUBBED }],
    });
  });

  test.each([
    'monkey',
    'keyboard',
    'tokenizer',
    'id',
    'args',
  ])('the field %s is no secret', (name) => {
    expect(fieldsOf({ [name]: 'x' })).toEqual({ [name]: 'x' });
  });

  test('arguments that set one', () => {
    const args = ['mysql', '--password=x', 'TOKEN=y', '--user=me', '--api-key', 'z', 'a=b'];
    expect(fieldsOf({ args })).toEqual({
      args: [
        'mysql',
        `--password=${SCRUBBED}`,
        `TOKEN=${SCRUBBED}`,
        '--user=me',
        '--api-key',
        SCRUBBED,
        'a=b',
      ],
    });
  });

  test('nothing is taken out when that was asked for', () => {
    expect(fieldsOf({ env: ['A=b'], password: 'x' }, false)).toEqual({
      env: ['A=b'],
      password: 'x',
    });
  });
});

describe('where lines go', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'gcs-log-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('a file is appended to, at once', () => {
    const file = join(directory, 'log');
    for (const message of ['one', 'two']) {
      using log = createLogger({ format: 'json', level: 'info', to: { file } });
      log.info(message);
      expect(readFileSync(file, 'utf8')).toContain(message);
    }
    expect(readFileSync(file, 'utf8').trim().split('\n')).toHaveLength(2);
  });

  test('a file that cannot be opened is an error', () => {
    const to = { file: join(directory, 'no/such') };
    expect(() => createLogger({ format: 'json', level: 'info', to })).toThrow('ENOENT');
  });

  test('a full disk does not stop the agent', () => {
    const fd = openSync('/dev/full', 'w');
    const log = createLogger({ format: 'json', level: 'info', to: { fd } });
    for (let i = 0; i < 10; i++) log.info('x');
    log[Symbol.dispose]();
    closeSync(fd);
  });

  /** Reads until the log has written all of its lines. */
  async function readLines(fd: number, until: RegExp): Promise<string[]> {
    const chunk = Buffer.alloc(65_536);
    let text = '';
    while (!until.test(text)) {
      try {
        const length = readSync(fd, chunk);
        if (length === 0) break;
        text += chunk.toString('latin1', 0, length);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        await new Promise((next) => setImmediate(next));
      }
    }
    return text.split('\n').slice(0, -1);
  }

  test.each([
    ['pipe', () => pipe({ nonBlockRead: true })],
    [
      'socket',
      () => {
        const [read, write] = socketPair();
        return { read, write };
      },
    ],
  ])('a %s nobody reads does not stop the agent; what was dropped is counted', async (_, open) => {
    const { read, write } = open();
    using log = createLogger({ format: 'json', level: 'info', to: { fd: write.raw } });
    const entries = 4000;
    for (let i = 0; i < entries; i++) log.info('x'.repeat(1000), { i });
    const first = await readLines(read.raw, /entries dropped/);
    log.info('last');
    const lines = [...first, ...(await readLines(read.raw, /"last"/))].map((line) =>
      JSON.parse(line),
    );
    const numbers = lines.flatMap(({ i }) => (i === undefined ? [] : [i]));
    const dropped = lines.find(({ dropped }) => dropped !== undefined)?.dropped;
    // Every entry came whole, in order, or was counted.
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => i));
    expect(numbers.length + dropped).toBe(entries);
    expect(numbers.length).toBeGreaterThan(1000);
    expect(lines.at(-1)).toMatchObject({ msg: 'last' });
    read.close();
    write.close();
  });

  test('a pipe keeps its blocking mode for the others who write to it', () => {
    const { read, write } = pipe();
    using log = createLogger({ format: 'json', level: 'info', to: { fd: write.raw } });
    log.info('x');
    const flags = readFileSync(`/proc/self/fdinfo/${write.raw}`, 'utf8');
    const O_NONBLOCK = 0o4000;
    expect(Number.parseInt(/flags:\s*(\d+)/.exec(flags)?.[1] ?? '', 8) & O_NONBLOCK).toBe(0);
    read.close();
    write.close();
  });

  test('a reader that goes away does not stop the agent', () => {
    const { read, write } = pipe();
    using log = createLogger({ format: 'json', level: 'info', to: { fd: write.raw } });
    log.info('x');
    read.close();
    for (let i = 0; i < 10; i++) log.info('y');
    write.close();
  });

  const script = (body: string): string[] => [
    '--input-type=module-typescript',
    '-e',
    `import { createLogger } from '${import.meta.dirname}/create-logger.ts';
     const log = createLogger({ format: 'json', level: 'info' });
     ${body}`,
  ];

  test('nothing is lost when the process ends at once', () => {
    const child = `for (let i = 0; i < 50; i++) log.info('x', { i }); process.kill(process.pid, 'SIGKILL');`;
    const command = ['-c', '"$@" 2>&1 | cat', 'sh', process.execPath, ...script(child)];
    // The shell's own remark about the kill is not for the test's output.
    const lines = execFileSync('sh', command, { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim()
      .split('\n');
    expect(lines.filter((line) => line.includes('"msg":"x"'))).toHaveLength(50);
  });

  test('a log nobody reads does not keep the process alive', async () => {
    const child = spawn(
      process.execPath,
      script(`for (let i = 0; i < 3000; i++) log.info('x'.repeat(100));`),
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
    child.stderr.destroy();
  });
});
