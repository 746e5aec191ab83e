/** runc and bin/gcs-oci side by side, in the small machine of an isolated agent. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { untilProcessEnds } from '../../src/os/process-end.ts';
import { type AgentOptions, AgentProcess } from './agent-process.ts';
import { makeSpec, type SpecOptions, writeSpec } from './bundle.ts';
import { descendants, processEntry } from './proc.ts';
import { RawHost } from './raw-client.ts';
import { negotiate, untilServing } from './raw-flows.ts';
import { makeRootfs } from './rootfs.ts';

const GCS_OCI = fileURLToPath(new URL('../../bin/gcs-oci', import.meta.url));

export type Program = 'runc' | 'gcs-oci';

/** How one command line ended, without what differs from run to run. */
export interface Outcome {
  /** The words behind the program's own options. */
  readonly line: string;
  readonly code: number | string;
  readonly out: string;
  readonly err: string;
  /** Messages of level error in --log, in order. */
  readonly reasons: readonly string[];
}

export class OciLab implements AsyncDisposable {
  readonly agent: AgentProcess;
  readonly host: RawHost;
  readonly directory = mkdtempSync(join(tmpdir(), 'gcs-twins-'));
  readonly rootfs: string;

  private constructor(agent: AgentProcess, host: RawHost) {
    this.agent = agent;
    this.host = host;
    this.rootfs = makeRootfs(join(this.directory, 'rootfs'));
  }

  static async start(options: AgentOptions = {}): Promise<OciLab> {
    const agent = new AgentProcess(options);
    const host = new RawHost(agent.path);
    await host.listenBridge();
    const bridge = await agent.orExit(host.acceptBridge());
    await negotiate(bridge);
    await untilServing(bridge);
    return new OciLab(agent, host);
  }

  side(program: Program): Side {
    return new Side(this, program);
  }

  /** Words in front of a program that is to run in the agent's namespaces. */
  get inside(): readonly string[] {
    const spaces = ['--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup'];
    return ['nsenter', '--target', `${this.agent.pid}`, ...spaces, '--'];
  }

  /** The process that has `pid` in the agent's pid namespace, as this process sees it. */
  outerPid(pid: number): number | undefined {
    const init = processEntry(this.agent.pid)?.parent;
    if (init === undefined) throw new Error('no agent runs');
    return descendants(init).find((entry) => namespacePid(entry.pid) === pid)?.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await this.host[Symbol.asyncDispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Pid in the namespace below ours. */
function namespacePid(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^NSpid:\s+\d+\s+(\d+)/m.exec(status)?.[1]);
  } catch {
    return undefined; // It has ended meanwhile.
  }
}

/** One of the two programs, with a directory and a set of containers of its own. */
export class Side {
  readonly program: Program;
  readonly lab: OciLab;
  readonly directory: string;
  readonly outcomes: Outcome[] = [];
  #count = 0;

  constructor(lab: OciLab, program: Program) {
    this.lab = lab;
    this.program = program;
    this.directory = mkdtempSync(join(lab.directory, `${program}-`));
  }

  /**
   * A bundle on the shared root file system. `change`: what SpecOptions cannot say, as values by
   * dotted names; undefined deletes, and a "+" at the end of a name adds to an array.
   */
  bundle(options: SpecOptions, change: Readonly<Record<string, unknown>> = {}): string {
    this.#count += 1;
    const path = join(this.directory, `b${this.#count}`);
    const spec = makeSpec({
      rootPath: this.lab.rootfs,
      cgroupsPath: `/twins-${this.program}${this.#count}`,
      ...options,
    });
    for (const [name, value] of Object.entries(change)) put(spec, name.split('.'), value);
    mkdirSync(path);
    writeSpec(path, spec);
    return path;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Runs the program to its end, and remembers how that went. */
  async run(line: readonly string[], input?: string): Promise<Outcome & { raw: string }> {
    const log = join(this.directory, 'log');
    rmSync(log, { force: true });
    const { code, out, err } = await this.#spawn([...this.#command(log), ...line], input);
    const outcome = {
      line: this.plain(line.join(' ')),
      code,
      out: this.plain(out),
      err: this.plain(err),
      reasons: reasonsIn(log).map((reason) => this.plain(reason)),
    };
    this.outcomes.push(outcome);
    return { ...outcome, raw: out };
  }

  /** Creates and starts a container; its pid is in the file of that name. */
  async started(id: string, bundle: string): Promise<void> {
    await this.run(['create', '--bundle', bundle, '--pid-file', this.path(`${id}.pid`), id]);
    await this.run(['start', id]);
  }

  pid(id: string): number {
    return Number(readFileSync(this.path(`${id}.pid`), 'utf8'));
  }

  /** Resolves when the process of a pid file has ended. */
  async ended(id: string): Promise<void> {
    const outer = this.lab.outerPid(this.pid(id));
    if (outer !== undefined) await untilProcessEnds(outer);
  }

  /** Remembers something else that the two must have alike. */
  note(line: string, out: string): void {
    this.outcomes.push({ line, code: 0, out: this.plain(out), err: '', reasons: [] });
  }

  /** What the processes of `create` and `exec --detach` wrote, all together. */
  written(): string {
    return readFileSync(join(this.directory, 'written'), 'utf8');
  }

  /** Without what differs between the two programs and from run to run. */
  plain(text: string): string {
    return (
      text
        .replaceAll(this.directory, '<directory>')
        .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, '<time>')
        .replaceAll(new RegExp(`/?twins-${this.program}\\d*`, 'g'), '<cgroup>')
        .replaceAll(new RegExp(`\\b${this.program}\\b`, 'g'), '<program>')
        .replaceAll(/"pid": ?[1-9]\d*/g, '"pid": <pid>')
        .replace(/^\[\d+(,\d+)*\](?=\n?$)/, (pids) => pids.replaceAll(/\d+/g, '<pid>'))
        // Each program has its own words on how it is used.
        .replace(/^Incorrect Usage[\s\S]*/, '')
    );
  }

  #command(log: string): string[] {
    const common = ['--root', this.path('root'), '--log', log, '--log-format', 'json'];
    return this.program === 'runc'
      ? ['runc', ...common]
      : [GCS_OCI, '--agent', this.lab.agent.path, ...common];
  }

  /**
   * Its output is that of the container too when the command makes one, so it goes to files: a pipe
   * would stay open for the container's whole life.
   */
  async #spawn(argv: readonly string[], input: string | undefined) {
    const [file = '', ...args] = [...this.lab.inside, ...argv];
    const detached = argv.includes('create') || argv.includes('--detach');
    const files = detached
      ? [this.path('written'), this.path('written-err')]
      : [this.path('out'), this.path('err')];
    const [out = 1, err = 2] = files.map((path) => openSync(path, detached ? 'a' : 'w'));
    try {
      const stdin = input === undefined ? ('ignore' as const) : ('pipe' as const);
      const child = spawn(file, args, { stdio: [stdin, out, err], cwd: this.directory });
      child.stdin?.on('error', () => {});
      child.stdin?.end(input);
      const [code, signal] = await once(child, 'exit');
      const [outText = '', errText = ''] = detached
        ? []
        : files.map((path) => readFileSync(path, 'utf8'));
      return { code: (signal ?? code) as number | string, out: outText, err: errText };
    } finally {
      closeSync(out);
      closeSync(err);
    }
  }
}

function put(object: object, [name = '', ...rest]: readonly string[], value: unknown): void {
  const record = object as Record<string, unknown>;
  if (rest.length > 0) put(record[name] as object, rest, value);
  else if (name.endsWith('+')) (record[name.slice(0, -1)] as unknown[]).push(value);
  else if (value === undefined) delete record[name];
  else record[name] = value;
}

function reasonsIn(log: string): string[] {
  let text: string;
  try {
    text = readFileSync(log, 'utf8');
  } catch {
    return []; // Nothing was logged.
  }
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { level: string; msg: string })
    .filter(({ level }) => level === 'error')
    .map(({ msg }) => msg);
}

/** Runs the same steps with both programs, one after the other. */
export async function twins(
  lab: OciLab,
  steps: (side: Side) => Promise<void>,
): Promise<Record<Program, Outcome[]>> {
  const sides = [lab.side('runc'), lab.side('gcs-oci')];
  for (const side of sides) {
    mkdirSync(side.path('root'), { recursive: true });
    await steps(side);
  }
  const [runc, gcs] = sides;
  return { runc: runc?.outcomes ?? [], 'gcs-oci': gcs?.outcomes ?? [] };
}
