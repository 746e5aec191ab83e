import type { Port, TransportErrorCode } from './transport.ts';
import { TransportError } from './transport.ts';

/** Where a system call failed, for the message and the fields of the TransportError. */
export interface FailurePlace {
  transport: string;
  port?: Port;
  /** What was tried, in the infinitive's first word: "dial", "listen", "accept". */
  operation: string;
}

/** What each errno name means to somebody who dials or listens; the rest is 'system'. */
const meanings: Readonly<Record<string, TransportErrorCode>> = {
  // vsock(7) without a transport to that CID, without the module, and in between.
  ENODEV: 'no-device',
  EAFNOSUPPORT: 'no-device',
  EPROTONOSUPPORT: 'no-device',
  ESOCKTNOSUPPORT: 'no-device',
  ENETUNREACH: 'no-device',
  ENETDOWN: 'no-device',
  EHOSTUNREACH: 'no-device',
  EADDRNOTAVAIL: 'no-device',
  // vsock answers a port without a listener with RST, a unix socket with ECONNREFUSED or no file.
  ECONNRESET: 'refused',
  ECONNREFUSED: 'refused',
  EPIPE: 'refused',
  ENOENT: 'refused',
  ETIMEDOUT: 'timeout',
  EADDRINUSE: 'port-in-use',
  ECANCELED: 'closed',
};

/** The errno name of a failed system call, ours or Node's; undefined for every other error. */
export function errnoNameOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, errno } = error as { code?: unknown; errno?: unknown };
  return typeof code === 'string' && typeof errno === 'number' ? code : undefined;
}

/**
 * The TransportError for a failed system call. Anything else (an abort reason, a TransportError)
 * comes back as it is, so that every catch can throw what this returns.
 */
export function transportFailure(error: unknown, place: FailurePlace): unknown {
  const name = errnoNameOf(error);
  if (name === undefined) return error;
  // No socket file means nobody listens; for a listener it means that the directory is missing.
  const code =
    name === 'ENOENT' && place.operation !== 'dial' ? 'system' : (meanings[name] ?? 'system');
  const target = place.port === undefined ? '' : ` port ${place.port}`;
  return new TransportError(
    code,
    `${place.transport}: ${place.operation}${target}: ${(error as Error).message}`,
    { ...at(place), cause: error },
  );
}

/** A TransportError of our own making, in the same form as one from a system call. */
export function failure(
  code: TransportErrorCode,
  place: FailurePlace,
  explanation: string,
): TransportError {
  const target = place.port === undefined ? '' : ` port ${place.port}`;
  return new TransportError(
    code,
    `${place.transport}: ${place.operation}${target}: ${explanation}`,
    at(place),
  );
}

function at(place: FailurePlace): { transport: string; port?: Port } {
  return place.port === undefined
    ? { transport: place.transport }
    : { transport: place.transport, port: place.port };
}

/** Highest port that can be named; the next one is VMADDR_PORT_ANY (vsock(7)). */
const HIGHEST_PORT = 0xfffffffe;

/** True for a number that vsock(7) takes as a port. */
export function isPort(value: number): value is Port {
  return Number.isInteger(value) && value >= 0 && value <= HIGHEST_PORT;
}

/** Throws 'unsupported' for a number that is no port; hosts choose these numbers. */
export function checkPort(place: FailurePlace & { port: Port }): void {
  if (isPort(place.port)) return;
  throw failure('unsupported', place, `a port is a whole number from 0 to ${HIGHEST_PORT}`);
}
