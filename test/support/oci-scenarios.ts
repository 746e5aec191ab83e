/** Command lines that runc and bin/gcs-oci must answer alike. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Side } from './oci-lab.ts';

type Steps = (side: Side) => Promise<void>;

const SLEEP = { args: ['sleep', '1000'] };

/** Ends a container that runs and forgets it. */
async function gone(side: Side, id: string): Promise<void> {
  await side.run(['delete', '--force', id]);
}

async function life(side: Side): Promise<void> {
  const bundle = side.bundle({
    args: 'echo out; trap "exit 3" TERM; sleep 1000 & wait',
    annotations: { 'org.example': 'a b' },
  });
  await side.run(['create', '--bundle', bundle, '--pid-file', side.path('one.pid'), 'one']);
  side.note('pid file', `${/^[1-9]\d*$/.test(`${side.pid('one')}`)}`);
  await side.run(['state', 'one']);
  await side.run(['exec', 'one', 'true']);
  await side.run(['create', '--bundle', bundle, 'one']);
  await side.run(['start', 'one']);
  await side.run(['start', 'one']);
  await side.run(['state', 'one']);
  await side.run(['delete', 'one']);
  await side.run(['kill', 'one']);
  await side.ended('one');
  side.note('written', side.written());
  for (const command of ['state', 'start', 'kill', 'pause', 'resume', 'ps', 'events', 'update']) {
    await side.run([command, 'one']);
  }
  await side.run(['kill', '--all', 'one', 'KILL']);
  await side.run(['exec', 'one', 'true']);
  await side.run(['events', '--stats', 'one']);
  await side.run(['list', '-q']);
  await side.run(['delete', 'one']);
  await side.run(['list']);
  await side.run(['list', '--format', 'json']);
  await side.run(['list', '-q']);
}

/** How the root is mounted in the container, which depends on how the runtime got there. */
async function rootPropagation(side: Side): Promise<void> {
  const args = `awk '$5 == "/" { sub(":.*", "", $7); print $7 }' /proc/self/mountinfo`;
  for (const propagation of ['shared', 'slave', 'private', 'unbindable']) {
    // runc refuses to move to a root that is to be private; the agent pivots then.
    for (const options of propagation === 'private' ? [[]] : [[], ['--no-pivot']]) {
      const id = `${propagation}${options.length}`;
      const bundle = side.bundle({ args }, { 'linux.rootfsPropagation': propagation });
      const pidFile = ['--pid-file', side.path(`${id}.pid`)];
      await side.run(['create', ...options, '--bundle', bundle, ...pidFile, id]);
      await side.run(['start', id]);
      await side.ended(id);
      await gone(side, id);
    }
  }
  side.note('written', side.written());
}

async function unknownContainer(side: Side): Promise<void> {
  for (const command of [
    'state',
    'start',
    'kill',
    'delete',
    'pause',
    'resume',
    'ps',
    'events',
    'update',
  ]) {
    await side.run([command, 'nobody']);
  }
  await side.run(['exec', 'nobody', 'true']);
  await side.run(['delete', '--force', 'nobody']);
  await side.run(['events', '--stats', 'nobody']);
}

async function wrongUsage(side: Side): Promise<void> {
  for (const command of [
    'create',
    'state',
    'start',
    'kill',
    'delete',
    'exec',
    'pause',
    'resume',
    'ps',
    'events',
    'update',
  ]) {
    await side.run([command]);
    await side.run([command, '--no-such-option', 'x']);
    if (command !== 'exec' && command !== 'ps') await side.run([command, 'a', 'b', 'c']);
  }
  await side.run(['list', 'x']);
  await side.run(['list', '--format', 'xml']);
  await side.run(['no-such-command']);
  await side.run(['exec', 'x']);
  await side.run(['events', '--interval', '0s', 'x']);
}

async function identifiers(side: Side): Promise<void> {
  const bundle = side.bundle(SLEEP);
  for (const id of ['a/b', '..', '.', '', 'a b', 'ä', '-', 'a:b', 'x'.repeat(300)]) {
    await side.run(['create', '--bundle', bundle, id]);
    await side.run(['state', id]);
    await side.run(['delete', id]);
  }
  for (const id of ['A.b+c_d-e', '...', '1', 'x'.repeat(100)]) {
    await side.run(['create', '--bundle', bundle, id]);
    await side.run(['state', id]);
    await gone(side, id);
  }
}

async function bundles(side: Side): Promise<void> {
  const create = async (bundle: string, ...more: string[]): Promise<void> => {
    await side.run(['create', ...more, '--bundle', bundle, 'bad']);
    await side.run(['state', 'bad']);
    await side.run(['delete', '--force', 'bad']);
  };
  const broken = async (change: Readonly<Record<string, unknown>>): Promise<void> =>
    create(side.bundle(SLEEP, change));
  await create(side.path('no-such-bundle'));
  const written = async (text: string): Promise<void> => {
    const bundle = side.bundle(SLEEP);
    writeFileSync(join(bundle, 'config.json'), text);
    await create(bundle);
  };
  for (const text of ['', '{', '[]', 'null', '{}', '{"ociVersion":7}', '"x"']) await written(text);
  const noSuch = ['CAP_NO_SUCH'];
  for (const change of [
    { 'process.args': [] },
    { process: undefined },
    { root: undefined },
    { 'root.path': 'nowhere' },
    { linux: undefined },
    { ociVersion: 'x' },
    { ociVersion: '99.0.0' },
    { 'process.cwd': 'relative' },
    { 'process.cwd': '' },
    { 'process.args': ['/no/such/program'] },
    { 'process.args': ['no-such-program'] },
    { 'process.args': ['/etc'] },
    { 'process.args': ['/etc/passwd'] },
    { 'process.capabilities': { bounding: noSuch, effective: noSuch, permitted: noSuch } },
    { 'process.rlimits': [{ type: 'RLIMIT_NO_SUCH', hard: 1, soft: 1 }] },
    { 'linux.namespaces+': { type: 'nonsense' } },
    { 'linux.namespaces+': { type: 'mount' } },
    { 'mounts+': { destination: '/x', type: 'no-such-fs', source: 'x' } },
    { 'mounts+': { destination: '/tmp', type: 'bind', source: '/no/such', options: ['bind'] } },
    { hooks: { createRuntime: [{ path: '/bin/false' }] } },
    { hooks: { prestart: [{ path: '/no/such/hook' }] } },
    { 'process.terminal': true },
  ]) {
    await broken(change);
  }
  await create(side.bundle(SLEEP), '--console-socket', side.path('socket'));
  await create(
    side.bundle({ ...SLEEP, terminal: true }),
    '--console-socket',
    side.path('no-socket'),
  );
  await create(side.bundle(SLEEP), '--pid-file', side.path('no-directory/pid'));
}

/** Its root is that of the machine with another directory as "/": nobody else's may change. */
async function noMountNamespace(side: Side): Promise<void> {
  const namespaces = [{ type: 'pid' }, { type: 'ipc' }, { type: 'uts' }, { type: 'network' }];
  const mounts = [{ destination: '/proc', type: 'proc', source: 'proc' }];
  const bundle = side.bundle({ args: 'ls /' }, { 'linux.namespaces': namespaces, mounts });
  await side.started('plain', bundle);
  await side.ended('plain');
  side.note('written', side.written());
  await side.run(['delete', 'plain']);
}

async function readOnly(side: Side): Promise<void> {
  const bundle = side.bundle({
    args: 'exec 2>&1; echo x >/file; echo code $?; id -u; pwd',
    readonlyRoot: true,
    cwd: '/etc',
    user: { uid: 1000, gid: 1000 },
  });
  await side.started('ro', bundle);
  await side.ended('ro');
  side.note('written', side.written());
  await side.run(['state', 'ro']);
  await side.run(['delete', 'ro']);
}

async function exec(side: Side): Promise<void> {
  await side.started('box', side.bundle({ ...SLEEP, env: ['OWN=1'] }));
  const run = (...line: string[]) => side.run(['exec', ...line]);
  const sh = (script: string, ...options: string[]) => run(...options, 'box', 'sh', '-c', script);
  await sh('echo out; echo err >&2; exit 7');
  await sh('kill -KILL $$');
  await sh('kill -TERM $$');
  await sh('exit 255');
  await side.run(['exec', 'box', 'cat'], 'from stdin');
  await run('box', 'no-such-program');
  await run('box', '/no/such/program');
  await run('box', '/etc/passwd');
  await run('box', '/etc');
  await run('box');
  await run('box', 'echo', '--flag', '-t');
  await run('box', '--', 'echo', 'x');
  await sh('env | sort', '--env', 'A=1', '--env', 'B=2 3', '--env', 'OWN=2');
  await sh('env | sort', '--env', 'NOVALUE');
  await sh('pwd', '--cwd', '/tmp');
  await sh('pwd', '--cwd', '/no/such/directory');
  await sh('pwd', '--cwd', 'relative');
  for (const user of [
    '1000',
    '1000:0',
    '0:1000',
    'tester',
    '1000:tester',
    ':5',
    '1000:',
    '-1',
    '4294967295',
  ]) {
    await sh('id -u; id -g; id -G', '--user', user);
  }
  await sh('id -G', '--additional-gids', '29', '--additional-gids', '30');
  await sh('id -G', '-g', 'audio');
  await sh('grep Cap /proc/self/status', '--cap', 'CAP_SYS_PTRACE');
  await sh('grep Cap /proc/self/status', '--cap', 'CAP_NO_SUCH');
  await sh('grep NoNewPrivs /proc/self/status', '--no-new-privs');
  await sh('grep Groups /proc/self/status; tty');
  const spec = {
    terminal: false,
    user: { uid: 1, gid: 1 },
    args: ['sh', '-c', 'id -u; pwd; env; exit 4'],
    env: ['PATH=/bin', 'X=1'],
    cwd: '/etc',
  };
  const file = (value: unknown): string => {
    writeFileSync(
      side.path('process.json'),
      typeof value === 'string' ? value : JSON.stringify(value),
    );
    return side.path('process.json');
  };
  await run('--process', file(spec), 'box');
  await run('--process', file({ ...spec, args: [] }), 'box');
  await run('--process', file({ ...spec, cwd: '' }), 'box');
  await run('--process', file({ ...spec, terminal: true }), '--detach', 'box');
  await run('--process', file('{'), 'box');
  await run('--process', side.path('no-such-file'), 'box');
  await run(
    '--detach',
    '--pid-file',
    side.path('d.pid'),
    'box',
    'sh',
    '-c',
    'echo detached; exit 3',
  );
  await side.ended('d');
  side.note('written', side.written());
  await run('--detach', 'box', 'no-such-program');
  await run('--detach', '-t', 'box', 'true');
  await run('--console-socket', side.path('no-socket'), '-t', 'box', 'true');
  await run('--detach', '--console-socket', side.path('no-socket'), '-t', 'box', 'true');
  await run('--detach', '--console-socket', side.path('no-socket'), 'box', 'true');
  await run('--preserve-fds', '3', 'box', 'true');
  await gone(side, 'box');
}

async function kill(side: Side): Promise<void> {
  const each = async (id: string, ...signal: string[]): Promise<void> => {
    await side.started(id, side.bundle(SLEEP));
    await side.run([
      'kill',
      ...(signal[0] === '--all' ? ['--all', id, ...signal.slice(1)] : [id, ...signal]),
    ]);
    await side.ended(id);
    await side.run(['state', id]);
    await side.run(['delete', id]);
  };
  await each('a', 'KILL');
  await each('b', '9');
  await each('c', 'SIGKILL');
  await each('d', 'sigkill');
  await each('e', '--all', 'KILL');
  await side.started('on', side.bundle(SLEEP));
  for (const signal of [
    '0',
    '-1',
    '65',
    '99',
    'FOO',
    'SIGFOO',
    '',
    '9x',
    'RTMIN+1',
    'SIGRTMIN',
    '34',
    'CHLD',
    'CLD',
    'winch',
  ]) {
    await side.run(['kill', 'on', signal]);
  }
  await side.run(['kill', '--signal', 'KILL', 'on']);
  await side.run(['kill', '-s', 'KILL', 'on']);
  await side.run(['state', 'on']);
  await gone(side, 'on');
  await side.run([
    'create',
    '--bundle',
    side.bundle(SLEEP),
    '--pid-file',
    side.path('made.pid'),
    'made',
  ]);
  await side.run(['kill', 'made', 'KILL']);
  await side.ended('made');
  await side.run(['state', 'made']);
  await side.run(['start', 'made']);
  await side.run(['delete', 'made']);
  await side.run(['create', '--bundle', side.bundle(SLEEP), 'never']);
  await side.run(['delete', 'never']);
  await side.run(['state', 'never']);
  await gone(side, 'never');
}

async function freezing(side: Side): Promise<void> {
  await side.started('ice', side.bundle(SLEEP));
  for (const command of ['resume', 'pause', 'state', 'pause', 'ps', 'start', 'delete']) {
    await side.run(command === 'ps' ? ['ps', '--format', 'json', 'ice'] : [command, 'ice']);
  }
  await side.run(['exec', 'ice', 'true']);
  await side.run(['resume', 'ice']);
  await side.run(['state', 'ice']);
  await side.run(['pause', 'ice']);
  await side.run(['delete', '--force', 'ice']);
  await side.run(['state', 'ice']);
  await side.run(['create', '--bundle', side.bundle(SLEEP), 'cold']);
  await side.run(['pause', 'cold']);
  await side.run(['state', 'cold']);
  await side.run(['resume', 'cold']);
  await side.run(['state', 'cold']);
  await gone(side, 'cold');
}

async function lists(side: Side): Promise<void> {
  const bundle = side.bundle(SLEEP);
  await side.run(['create', '--bundle', bundle, 'b']);
  await side.run(['create', '--bundle', side.bundle(SLEEP), 'a']);
  await side.run(['list', '--quiet']);
  await side.run(['list', '--format', 'json']);
  await side.run(['list', '--format', 'json', '--quiet']);
  await side.run(['ps', '--format', 'json', 'a']);
  await side.run(['ps', '--format', 'xml', 'a']);
  await gone(side, 'a');
  await gone(side, 'b');
}

async function resources(side: Side): Promise<void> {
  const stats = async (): Promise<void> => {
    const { raw } = await side.run(['events', '--stats', 'r']);
    side.outcomes.pop();
    const { type, id, data } = JSON.parse(raw);
    const limits = { memory: data.memory.usage.limit, pids: data.pids.limit ?? 0 };
    side.note('stats', JSON.stringify({ type, id, sections: Object.keys(data), limits }));
  };
  await side.started('r', side.bundle(SLEEP));
  await stats();
  await side.run(['update', '--memory', '67108864', '--pids-limit', '33', 'r']);
  await stats();
  await side.run(['update', '--resources', '-', 'r'], '{"pids":{"limit":44}}');
  await stats();
  await side.run(['update', '--resources', '-', 'r'], '{');
  await side.run(['update', '--resources', side.path('no-such-file'), 'r']);
  for (const option of [
    ['--memory', 'x'],
    ['--memory', '64M'],
    ['--pids-limit', 'x'],
    ['--cpu-share', '-5'],
    ['--cpu-quota', '100'],
    ['--cpuset-cpus', '999'],
    ['--cpu-share', '512'],
    ['--memory', '4096'],
    ['--kernel-memory', '1000000'],
    ['--cpu-idle', '1'],
  ]) {
    await side.run(['update', ...option, 'r']);
  }
  await side.run(['events', '--interval', '0s', '--stats', 'r']);
  await side.run(['events', '--interval', '0s', 'r']);
  await side.run(['events', '--interval', 'x', 'r']);
  await gone(side, 'r');
}

export const scenarios: Readonly<Record<string, Steps>> = {
  life,
  unknownContainer,
  wrongUsage,
  identifiers,
  bundles,
  noMountNamespace,
  rootPropagation,
  readOnly,
  exec,
  kill,
  freezing,
  lists,
  resources,
};
