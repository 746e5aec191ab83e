import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { OsError } from '../os/errors.ts';
import { socketPair, VMADDR_CID_ANY, VMADDR_CID_HOST } from '../os/socket.ts';
import { VsockTransport } from './vsock.ts';

const { errno } = constants;
const failed = (number: number) => new OsError('connect', number);

/** A system whose connects fail with these errno values in turn and then succeed. */
function failing(...numbers: number[]) {
  const seen: string[] = [];
  const connect = async (cid: number, port: number) => {
    seen.push(`connect ${cid}:${port}`);
    const next = numbers.shift();
    if (next !== undefined) throw failed(next);
    const [ours, theirs] = socketPair();
    theirs.close();
    return ours;
  };
  const pause = async (milliseconds: number) => {
    seen.push(`pause ${milliseconds}`);
  };
  return { seen, system: { connect, pause } };
}

describe('dialing over AF_VSOCK', () => {
  it('reaches the host, CID 2', async () => {
    const { seen, system } = failing();
    using connection = await new VsockTransport({ system }).dial(1024);
    expect(seen).toEqual([`connect ${VMADDR_CID_HOST}:1024`]);
    expect(connection.port).toBe(1024);
  });

  it('reaches another CID when told to', async () => {
    const { seen, system } = failing();
    using _connection = await new VsockTransport({ cid: 1, system }).dial(7);
    expect(seen).toEqual(['connect 1:7']);
  });

  it('tries again 100 ms after a timeout of the kernel', async () => {
    const { seen, system } = failing(errno.ETIMEDOUT, errno.ETIMEDOUT);
    using _connection = await new VsockTransport({ system }).dial(5);
    expect(seen).toEqual(['connect 2:5', 'pause 100', 'connect 2:5', 'pause 100', 'connect 2:5']);
  });

  it('gives up with "timeout" when ten attempts have timed out', async () => {
    const { seen, system } = failing(...Array<number>(11).fill(errno.ETIMEDOUT));
    const dial = new VsockTransport({ system }).dial(5);
    await expect(dial).rejects.toMatchObject({ code: 'timeout', transport: 'vsock', port: 5 });
    expect(seen.filter((step) => step.startsWith('connect'))).toHaveLength(10);
    expect(seen.filter((step) => step.startsWith('pause'))).toHaveLength(9);
  });

  it('fails after a timeout with the error of the next attempt', async () => {
    const { seen, system } = failing(errno.ETIMEDOUT, errno.ECONNRESET);
    const dial = new VsockTransport({ system }).dial(5);
    await expect(dial).rejects.toMatchObject({ code: 'refused' });
    expect(seen).toHaveLength(3);
  });

  it.each([
    ['ENODEV', 'no-device'],
    ['EAFNOSUPPORT', 'no-device'],
    ['ENETUNREACH', 'no-device'],
    ['EHOSTUNREACH', 'no-device'],
    ['ECONNRESET', 'refused'],
    ['ECONNREFUSED', 'refused'],
    ['EMFILE', 'system'],
    ['EACCES', 'system'],
  ] as const)('fails at once with %s as "%s"', async (name, code) => {
    const { seen, system } = failing(errno[name]);
    const dial = new VsockTransport({ system }).dial(5);
    await expect(dial).rejects.toMatchObject({
      name: 'TransportError',
      code,
      cause: expect.objectContaining({ code: name }),
    });
    expect(seen).toEqual(['connect 2:5']);
  });

  it('fails with "timeout" at its own deadline, without another attempt', async () => {
    let attempts = 0;
    const connect = (_cid: number, _port: number, { signal }: { signal?: AbortSignal }) => {
      attempts += 1;
      return new Promise<never>((_, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason));
      });
    };
    const dial = new VsockTransport({ system: { connect } }).dial(5, { timeoutMs: 1 });
    await expect(dial).rejects.toMatchObject({ code: 'timeout', port: 5 });
    expect(attempts).toBe(1);
  });

  it('stops between two attempts when the signal aborts, with its reason', async () => {
    const abort = new AbortController();
    const reason = new Error('no longer needed');
    let attempts = 0;
    const connect = async () => {
      attempts += 1;
      setImmediate(() => abort.abort(reason));
      throw failed(errno.ETIMEDOUT);
    };
    const dial = new VsockTransport({ system: { connect } }).dial(5, { signal: abort.signal });
    await expect(dial).rejects.toBe(reason);
    expect(attempts).toBe(1);
  });

  it('fails what is under way with "closed" when it is disposed', async () => {
    const transport = new VsockTransport({
      system: {
        connect: (_cid, _port, { signal }) =>
          new Promise<never>((_, reject) => {
            signal?.addEventListener('abort', () => reject(signal.reason));
          }),
      },
    });
    const dial = transport.dial(5);
    await transport[Symbol.asyncDispose]();
    await expect(dial).rejects.toMatchObject({ code: 'closed' });
    await expect(transport.dial(5)).rejects.toMatchObject({ code: 'closed' });
    await expect(transport.listen(5)).rejects.toMatchObject({ code: 'closed' });
  });
});

describe('listening over AF_VSOCK', () => {
  const listening = (accept: () => Promise<never>) => {
    const asked: string[] = [];
    const listen = (cid: number, port: number) => {
      asked.push(`${cid}:${port}`);
      const close = () => asked.push('close');
      return { accept, close, [Symbol.dispose]: close };
    };
    return { asked, transport: new VsockTransport({ system: { listen } }) };
  };

  it('binds to any CID and closes with the transport', async () => {
    const { asked, transport } = listening(() => new Promise<never>(() => {}));
    await transport.listen(9);
    await transport[Symbol.asyncDispose]();
    expect(asked).toEqual([`${VMADDR_CID_ANY}:9`, 'close']);
  });

  it.each([
    ['EADDRINUSE', 'port-in-use'],
    ['EAFNOSUPPORT', 'no-device'],
    ['EACCES', 'system'],
  ] as const)('reports %s as "%s"', async (name, code) => {
    const listen = () => {
      throw new OsError('bind', errno[name]);
    };
    const transport = new VsockTransport({ system: { listen } });
    await expect(transport.listen(9)).rejects.toMatchObject({ code, port: 9 });
  });

  it('closes what comes from anywhere but the host and accepts on', async () => {
    const [first, firstPeer] = socketPair();
    const [second, secondPeer] = socketPair();
    using _firstPeer = firstPeer;
    using _secondPeer = secondPeer;
    const arrivals = [first, second];
    const transport = new VsockTransport({
      system: {
        listen: () => ({
          accept: async () => arrivals.shift() ?? Promise.reject(new OsError('accept4', 9)),
          close: () => {},
          [Symbol.dispose]: () => {},
        }),
        // A container over loopback, then the host.
        peerCid: (fd) => (fd === first ? 1 : VMADDR_CID_HOST),
      },
    });
    using connection = await (await transport.listen(9)).accept();
    expect(first.open).toBe(false);
    using fd = connection.takeFd();
    expect(fd).toBe(second);
  });

  it('fails an accept whose peer cannot be told, and closes it', async () => {
    const [ours, theirs] = socketPair();
    using _theirs = theirs;
    const transport = new VsockTransport({
      system: {
        listen: () => ({
          accept: async () => ours,
          close: () => {},
          [Symbol.dispose]: () => {},
        }),
      },
    });
    // A unix socket has no CID.
    const accept = (await transport.listen(9)).accept();
    await expect(accept).rejects.toMatchObject({
      cause: expect.objectContaining({ syscall: 'getpeername', code: 'EAFNOSUPPORT' }),
    });
    expect(ours.open).toBe(false);
  });

  it('passes over a connection that was gone before it was accepted', async () => {
    const results = [errno.ECONNABORTED, errno.EMFILE];
    const { transport } = listening(async () => {
      throw new OsError('accept4', results.shift() ?? 0);
    });
    const listener = await transport.listen(9);
    await expect(listener.accept()).rejects.toMatchObject({
      code: 'system',
      cause: expect.objectContaining({ code: 'EMFILE' }),
    });
  });
});
