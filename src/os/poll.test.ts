import { spawnSync } from 'node:child_process';
import { constants, readSync, writeSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openFile, pipe } from './pipe.ts';
import { FdPoll, type Readiness, untilReady } from './poll.ts';
import { shutdown, socketPair } from './socket.ts';

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe('untilReady', () => {
  test('resolves when data comes', async () => {
    const { read, write } = pipe();
    using _r = read;
    using _w = write;
    const ready = untilReady(read.raw, { read: true });
    writeSync(write.raw, 'x');
    expect(await ready).toEqual({ readable: true, writable: false, hangup: false });
  });

  test('resolves at the end of the stream', async () => {
    const { read, write } = pipe();
    using _r = read;
    const ready = untilReady(read.raw, { read: true });
    write.close();
    expect(await ready).toEqual({ readable: true, writable: false, hangup: true });
  });

  test('reports a pipe without readers as writable and hung up', async () => {
    const { read, write } = pipe({ nonBlockWrite: true });
    using _w = write;
    const chunk = Buffer.alloc(65536);
    writeSync(write.raw, chunk);
    const ready = untilReady(write.raw, { write: true });
    read.close();
    expect(await ready).toEqual({ readable: false, writable: true, hangup: true });
  });

  test('rejects with the reason of the signal, before and while it waits', async () => {
    const { read, write } = pipe();
    using _r = read;
    using _w = write;
    const reason = new Error('enough');
    await expect(
      untilReady(read.raw, { read: true }, { signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
    const controller = new AbortController();
    const waiting = untilReady(read.raw, { read: true }, { signal: controller.signal });
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    // The descriptor is free for another poll.
    writeSync(write.raw, 'x');
    expect((await untilReady(read.raw, { read: true })).readable).toBe(true);
  });
});

describe('FdPoll', () => {
  test('delivers again while data lasts, not while paused, never after close', async () => {
    const { read, write } = pipe();
    using _r = read;
    using _w = write;
    let count = 0;
    let wake = (): void => {};
    const poll = new FdPoll(read.raw, { read: true }, () => {
      count++;
      if (count === 3) poll.pause();
      wake();
    });
    writeSync(write.raw, 'x');
    await new Promise<void>((resolve) => {
      wake = () => {
        if (count === 3) resolve();
      };
    });
    await turn();
    await turn();
    expect(count).toBe(3);
    const resumed = new Promise<void>((resolve) => {
      wake = resolve;
    });
    poll.resume();
    await resumed;
    expect(count).toBe(4);
    poll.close();
    poll.close();
    const after = count;
    await turn();
    await turn();
    expect(count).toBe(after);
    expect(() => poll.resume()).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });

  test('tells that the peer has shut down its side, without taking its data', async () => {
    const [mine, theirs] = socketPair();
    using _m = mine;
    using _t = theirs;
    writeSync(theirs.raw, 'left over');
    const hangup = new Promise<Readiness>((resolve) => {
      const poll = new FdPoll(mine.raw, { disconnect: true }, (ready) => {
        poll.close();
        resolve(ready);
      });
    });
    shutdown(theirs, 'write');
    expect(await hangup).toEqual({ readable: false, writable: false, hangup: true });
    const buffer = Buffer.alloc(16);
    expect(buffer.toString('utf8', 0, readSync(mine.raw, buffer))).toBe('left over');
  });

  test('reports an error condition once and arms again by resume', async () => {
    const { read, write } = pipe();
    using _w = write;
    read.close();
    let count = 0;
    let wake = (): void => {};
    const next = (): Promise<void> =>
      new Promise((resolve) => {
        wake = resolve;
      });
    let waiting = next();
    using poll = new FdPoll(write.raw, { write: true }, () => {
      count++;
      wake();
    });
    await waiting;
    await turn();
    await turn();
    expect(count).toBe(1);
    waiting = next();
    poll.resume();
    await waiting;
    expect(count).toBe(2);
  });

  test('refuses what cannot be polled', () => {
    using file = openFile('/proc/self/exe', constants.O_RDONLY);
    expect(() => new FdPoll(file.raw, { read: true }, () => {})).toThrow(
      expect.objectContaining({ code: 'EPERM' }),
    );
    expect(() => new FdPoll(999_999, { read: true }, () => {})).toThrow(
      expect.objectContaining({ code: 'EBADF' }),
    );
  });

  test('refuses a second poll of one descriptor', () => {
    const { read, write } = pipe();
    using _r = read;
    using _w = write;
    using _p = new FdPoll(read.raw, { read: true }, () => {});
    expect(() => new FdPoll(read.raw, { read: true }, () => {})).toThrow(
      expect.objectContaining({ code: 'EEXIST' }),
    );
  });

  /** Runs a script in a Node of its own; `poll` and `pipe` modules are imported for it. */
  function script(body: string, ...flags: string[]): { stdout: string; status: number | null } {
    const source = `
      import { FdPoll } from '${import.meta.dirname}/poll.ts';
      import { pipe } from '${import.meta.dirname}/pipe.ts';
      import { writeSync } from 'node:fs';
      ${body}`;
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [...flags, '--input-type=module-typescript', '-e', source],
      { encoding: 'utf8' },
    );
    return { stdout: stdout + stderr, status };
  }

  test('lives without a reference to it, and keeps the event loop alive until closed', () => {
    const { stdout, status } = script(
      `
      const { read, write } = pipe();
      (() => { const poll = new FdPoll(read.raw, { read: true }, () => { console.log('woken'); poll.close(); }); })();
      let rounds = 0;
      const timer = setInterval(() => {
        gc();
        if (++rounds === 5) { clearInterval(timer); writeSync(write.raw, 'x'); }
      }, 1);
      `,
      '--expose-gc',
    );
    expect(stdout).toBe('woken\n');
    expect(status).toBe(0);
  });

  test('does not keep the event loop alive when unreferenced or paused', () => {
    const { stdout, status } = script(`
      const one = pipe();
      const other = pipe();
      new FdPoll(one.read.raw, { read: true }, () => {}).unref();
      new FdPoll(other.read.raw, { read: true }, () => {}).pause();
      console.log('end');
    `);
    expect(stdout).toBe('end\n');
    expect(status).toBe(0);
  });

  test('hands an exception of the callback to the process as uncaught', () => {
    const { stdout, status } = script(`
      process.on('uncaughtException', (error) => { console.log(error.message); process.exit(7); });
      const { read, write } = pipe();
      new FdPoll(read.raw, { read: true }, () => { throw new Error('from the callback'); });
      writeSync(write.raw, 'x');
    `);
    expect(stdout).toBe('from the callback\n');
    expect(status).toBe(7);
  });

  test('ends cleanly with a worker thread that leaves polls open', () => {
    const { stdout, status } = script(`
      import { Worker } from 'node:worker_threads';
      const worker = new Worker(\`
        import { FdPoll } from '${import.meta.dirname}/poll.ts';
        import { pipe } from '${import.meta.dirname}/pipe.ts';
        const { read, write } = pipe();
        new FdPoll(read.raw, { read: true }, () => {});
        setImmediate(() => process.exit(0));
      \`, { eval: true, execArgv: ['--input-type=module-typescript'] });
      worker.on('exit', (code) => console.log('worker', code));
    `);
    expect(stdout).toBe('worker 0\n');
    expect(status).toBe(0);
  });
});
