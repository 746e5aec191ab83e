/**
 * Faults in an agent under test. Loaded into it before its own code (node --import), this counts the
 * calls by which it makes anything (files, mounts, processes, links, descriptors) and lets one of
 * them fail as if the system had. The calls of a request, in their order, are its steps: recorded
 * once, then walked by a test. What undoes is neither counted nor failed.
 */
import fs from 'node:fs';

/** Where the test says which call is to fail, and the agent writes down which there were. */
export const FAULTS_VARIABLE = 'GCS_TEST_FAULTS';

const EIO = 5;

const FILE_CALLS = [
  'mkdirSync',
  'writeFileSync',
  'writeSync',
  'renameSync',
  'symlinkSync',
  'linkSync',
  'chmodSync',
  'fchmodSync',
  'fsyncSync',
  'ftruncateSync',
] as const;

/** Return an error number below zero; those of the second list a promise of one. */
const NATIVE_CALLS = [
  ...['makePipe', 'socketPair', 'packetPair', 'openPty', 'memoryFile', 'eventFd', 'socketIn'],
  ...['spawn', 'pidfdOpen', 'pollNew', 'epollNew', 'epollAdd', 'inotifyInit', 'inotifyAdd'],
  ...['netlinkSetUp', 'netlinkSend', 'openAt2', 'fsOpen', 'fsConfig', 'fsMount', 'moveMount'],
  ...['openTree', 'mountSetAttributes', 'bindUnix', 'listen', 'relayStart', 'criLogOpen'],
];
const NATIVE_PROMISES = ['fsCreate', 'mountOld'];

type Call = (...args: unknown[]) => unknown;

/** The control file holds "RUN INDEX": from a new RUN on calls are counted from 0, and INDEX fails. */
class Faults {
  readonly #file: string;
  readonly #read = fs.readFileSync;
  readonly #append = fs.appendFileSync;
  /** Node's own calls within a call are none of the agent's. */
  #inside = false;
  #order = '';
  #count = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /** The call, or `fail` when it is the one. */
  around(name: string, args: readonly unknown[], call: () => unknown, fail: () => unknown) {
    if (this.#inside) return call();
    this.#inside = true;
    try {
      return this.#hits(name, args) ? fail() : call();
    } finally {
      this.#inside = false;
    }
  }

  #hits(name: string, args: readonly unknown[]): boolean {
    const order = this.#read(this.#file, 'utf8');
    if (order !== this.#order) {
      this.#order = order;
      this.#count = 0;
    }
    const [run = '', index = ''] = order.split(' ');
    if (run === '') return false;
    const what = typeof args[0] === 'string' ? ` ${args[0]}` : '';
    this.#append(`${this.#file}.${run}`, `${name}${what}\n`);
    return this.#count++ === Number(index);
  }
}

function systemError(name: string): Error {
  const error = new Error(`EIO: injected, ${name}`);
  return Object.assign(error, { errno: -EIO, code: 'EIO', syscall: name });
}

function install(file: string): void {
  const faults = new Faults(file);
  const wrap = (holder: Record<string, Call>, name: string, fail: () => unknown): void => {
    const original = holder[name];
    if (original === undefined) throw new Error(`there is no ${name} to let fail`);
    holder[name] = (...args) =>
      faults.around(name, args, () => Reflect.apply(original, holder, args), fail);
  };
  const files = fs as unknown as Record<string, Call>;
  for (const name of FILE_CALLS) {
    wrap(files, name, () => {
      throw systemError(name);
    });
  }
  const open = files.openSync as Call;
  files.openSync = (...args) => {
    const writes = args[1] !== undefined && args[1] !== 'r' && args[1] !== 0;
    const call = (): unknown => Reflect.apply(open, fs, args);
    if (!writes) return call();
    return faults.around('openSync', args, call, () => {
      throw systemError('open');
    });
  };
  const load = process.dlopen;
  process.dlopen = (holder: object, ...rest: [string]) => {
    load(holder, ...rest);
    const { exports } = holder as { exports: Record<string, Call> };
    if (exports.pidfdOpen === undefined) return;
    for (const name of NATIVE_CALLS) wrap(exports, name, () => -EIO);
    for (const name of NATIVE_PROMISES) wrap(exports, name, () => Promise.resolve(-EIO));
  };
}

const file = process.env[FAULTS_VARIABLE];
if (file !== undefined) install(file);
