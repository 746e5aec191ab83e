import { text } from 'node:stream/consumers';
import { expect } from 'vitest';
import type { TransportErrorCode } from '../../../src/vsock/transport.ts';
import { TransportError } from '../../../src/vsock/transport.ts';
import { connectTo, type TransportPair } from '../transport-pair.ts';

/** Rejects unless `attempt` fails with a TransportError of this code. */
export async function expectFailure(
  attempt: Promise<unknown>,
  code: TransportErrorCode,
): Promise<TransportError> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(TransportError);
  const failure = error as TransportError;
  expect(failure.code, failure.message).toBe(code);
  return failure;
}

export async function refusedPort(pair: TransportPair): Promise<void> {
  const port = pair.port();
  const failure = await expectFailure(pair.dialer.dial(port), 'refused');
  expect(failure.port).toBe(port);
  expect(failure.transport).toBe(pair.dialer.name);
  // Also while other ports are listened on.
  await using other = await pair.listener.listen(pair.port());
  await expectFailure(pair.dialer.dial(port), 'refused');
  using ends = await connectTo(pair, other);
  expect(ends.accepted.port).toBe(other.port);
}

export async function refusedAfterClose(pair: TransportPair): Promise<void> {
  const listener = await pair.listener.listen(pair.port());
  using ends = await connectTo(pair, listener);
  listener.close();
  await expectFailure(pair.dialer.dial(listener.port), 'refused');
  // What was accepted before lives on.
  const [a, b] = [ends.dialed.stream(), ends.accepted.stream()];
  a.end('still here');
  expect(await text(b)).toBe('still here');
  a.destroy();
}

export async function portInUse(pair: TransportPair): Promise<void> {
  const port = pair.port();
  const first = await pair.listener.listen(port);
  await expectFailure(pair.listener.listen(port), 'port-in-use');
  // The attempt has neither taken the port away nor shown up as a connection.
  using ends = await connectTo(pair, first);
  const [a, b] = [ends.dialed.stream(), ends.accepted.stream()];
  a.end('to the first');
  expect(await text(b)).toBe('to the first');
  a.destroy();
  first.close();
  await using second = await pair.listener.listen(port);
  using again = await connectTo(pair, second);
  expect(again.dialed.port).toBe(port);
}

export async function noPorts(pair: TransportPair): Promise<void> {
  for (const port of [-1, 0.5, 2 ** 32 - 1, 2 ** 32, Number.NaN]) {
    await expectFailure(pair.dialer.dial(port), 'unsupported');
    await expectFailure(pair.listener.listen(port), 'unsupported');
  }
}

export async function concurrentDials(pair: TransportPair): Promise<void> {
  const count = 100;
  await using one = await pair.listener.listen(pair.port());
  await using other = await pair.listener.listen(pair.port());
  const serve = async (listener: typeof one) => {
    for (let served = 0; served < count; served += 1) {
      const stream = (await listener.accept()).stream();
      void text(stream).then((question) => stream.end(`${listener.port} answers ${question}`));
    }
  };
  const ask = async (listener: typeof one, question: string) => {
    const stream = (await pair.dialer.dial(listener.port)).stream();
    stream.end(question);
    expect(await text(stream)).toBe(`${listener.port} answers ${question}`);
  };
  const questions = Array.from({ length: count }, (_, index) => `question ${index}`);
  await Promise.all([
    serve(one),
    serve(other),
    ...questions.flatMap((question) => [ask(one, question), ask(other, question)]),
  ]);
}

export async function acceptAborted(pair: TransportPair): Promise<void> {
  await using listener = await pair.listener.listen(pair.port());
  const abort = new AbortController();
  const reason = new Error('changed my mind');
  const pending = listener.accept({ signal: abort.signal });
  abort.abort(reason);
  await expect(pending).rejects.toBe(reason);
  await expect(listener.accept({ signal: abort.signal })).rejects.toBe(reason);
  using ends = await connectTo(pair, listener);
  expect(ends.accepted.port).toBe(listener.port);
}

export async function closedWhileAccepting(pair: TransportPair): Promise<void> {
  const listener = await pair.listener.listen(pair.port());
  const pending = [listener.accept(), listener.accept()];
  listener.close();
  for (const accept of pending) await expectFailure(accept, 'closed');
  await expectFailure(listener.accept(), 'closed');
  listener.close();
}

export async function neverAccepted(pair: TransportPair): Promise<void> {
  const listener = await pair.listener.listen(pair.port());
  const dialed = (await pair.dialer.dial(listener.port)).stream();
  listener.close();
  // A reset and an end both say that nobody is there.
  await text(dialed).catch((error: NodeJS.ErrnoException) => {
    expect(error.code).toBe('ECONNRESET');
  });
  dialed.destroy();
}

export async function dialAborted(pair: TransportPair): Promise<void> {
  const listener = await pair.listener.listen(pair.port());
  const reason = new Error('too late');
  const attempt = pair.dialer.dial(listener.port, { signal: AbortSignal.abort(reason) });
  await expect(attempt).rejects.toBe(reason);
  listener.close();
}
