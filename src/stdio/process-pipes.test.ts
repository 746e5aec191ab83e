import { describe, expect, test } from 'vitest';
import { requireNothingLeft, useReaper } from '../../test/support/process-suite.ts';
import { connect, sh } from '../../test/support/stdio-rig.ts';
import { exitCodeOf } from '../os/process.ts';
import { DirectStdio } from './direct-stdio.ts';
import { PipeRelay } from './pipe-relay.ts';
import { ProcessPipes, type UnusedStream } from './process-pipes.ts';

const SIGPIPE = 13;

requireNothingLeft();
const reaper = useReaper();

function spawn(script: string, stdio: (number | null)[]) {
  const env = [`PATH=${process.env.PATH}`];
  return reaper().spawn({ file: '/bin/sh', args: sh(script), env, stdio });
}

async function codeWith(unused: UnusedStream, script: string): Promise<number> {
  using pipes = new ProcessPipes({}, unused);
  const child = spawn(script, pipes.stdio);
  pipes.closeProcessEnds();
  return exitCodeOf(await child.exited);
}

describe('ProcessPipes', () => {
  test('unused streams as /dev/null: writing works, reading gives the end', async () => {
    expect(
      await codeWith('dev-null', 'echo x || exit 1; echo x >&2 || exit 2; read line || exit 3'),
    ).toBe(3);
  });

  test('unused streams as closed pipes: writing gives SIGPIPE, reading the end', async () => {
    expect(await codeWith('closed-pipe', 'read line || exec yes')).toBe(128 + SIGPIPE);
    expect(await codeWith('closed-pipe', 'exec yes >&2')).toBe(128 + SIGPIPE);
  });

  test("the process's ends stay blocking while the agent's ends are relayed", async () => {
    using pipes = new ProcessPipes({ stdin: true, stdout: true, stderr: true }, 'dev-null');
    const { connections, host } = await connect(['stdin', 'stdout', 'stderr']);
    const flags = `sed -n 's/^flags:[^0-9]*//p' /proc/self/fdinfo/`;
    const child = spawn(`read go; for fd in 0 1 2; do ${flags}$fd; done`, pipes.stdio);
    pipes.closeProcessEnds();
    const session = new PipeRelay({ connections, pipes: pipes.takeAgentEnds() });
    host.stream('stdin').end('go\n');
    const lines = String(await host.readAll('stdout'))
      .trim()
      .split('\n');
    expect(lines).toHaveLength(3);
    // O_NONBLOCK is 04000, see proc_pid_fdinfo(5)
    for (const line of lines) expect(Number.parseInt(line, 8) & 0o4000).toBe(0);
    await child.exited;
    session.processExited();
    host.closeAll();
    await session.closed;
  });
});

describe('DirectStdio', () => {
  test('the process has the connections themselves, blocking, and the host sees its end', async () => {
    const { connections, host } = await connect(['stdin', 'stdout', 'stderr']);
    using stdio = new DirectStdio(connections);
    const child = spawn('dd bs=100000 status=none; echo error >&2; exit 8', stdio.stdio);
    stdio.release();
    void child.exited.then(() => stdio.processExited());
    const stdin = host.stream('stdin');
    const input = Buffer.alloc(2_000_000, 'x');
    stdin.end(input);
    expect(await host.readAll('stdout')).toEqual(input);
    expect(String(await host.readAll('stderr'))).toBe('error\n');
    expect(exitCodeOf(await child.exited)).toBe(8);
    expect(await stdio.drained).toEqual({});
    await stdio.closed;
    host.closeAll();
  });

  test('a stream nobody asked for is /dev/null', async () => {
    const { connections, host } = await connect(['stdout']);
    using stdio = new DirectStdio(connections);
    expect(stdio.stdio).toEqual([null, expect.any(Number), null]);
    const child = spawn('readlink /proc/self/fd/0', stdio.stdio);
    stdio.release();
    expect(String(await host.readAll('stdout'))).toBe('/dev/null\n');
    await child.exited;
    host.closeAll();
  });

  test('a background child does not hold the wait back, and keeps its streams', async () => {
    const { connections, host } = await connect(['stdin', 'stdout']);
    using stdio = new DirectStdio(connections);
    const child = spawn('exec 3<&0; { read line <&3; echo $line; } & exit 0', stdio.stdio);
    stdio.release();
    void child.exited.then(() => stdio.processExited());
    expect(await stdio.drained).toEqual({});
    host.stream('stdin').end('after\n');
    expect(String(await host.readAll('stdout'))).toBe('after\n');
    host.closeAll();
  });

  test('is no terminal', async () => {
    const { connections, host } = await connect([]);
    using stdio = new DirectStdio(connections);
    expect(() => stdio.resize({ width: 1, height: 1 })).toThrow(
      expect.objectContaining({ code: 'ENOTTY' }),
    );
    stdio.abort();
    await stdio.closed;
    host.closeAll();
  });
});
