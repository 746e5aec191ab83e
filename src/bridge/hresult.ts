import { AgentError, type AgentErrorCode } from '../errors.ts';
import { SchemaError } from '../schema/schema.ts';

/** HRESULTs of the protocol, unsigned as they are written in texts. */
export const Hresult = {
  /** E_NOTIMPL. */
  NotImplemented: 0x80004001,
  /** E_FAIL: everything that has no number of its own. */
  Fail: 0x80004005,
  /** E_INVALIDARG. */
  InvalidArgument: 0x80070057,
  /** ERROR_NOT_FOUND. */
  NotFound: 0x80070490,
  /** HCS_E_OPERATION_TIMEOUT. */
  Timeout: 0xc0370109,
  /** HCS_E_UNSUPPORTED_PROTOCOL_VERSION. */
  UnsupportedProtocolVersion: 0xc037010c,
  /** HCS_E_INVALID_JSON. */
  InvalidJson: 0xc037010d,
  /** HCS_E_SYSTEM_NOT_FOUND. */
  SystemNotFound: 0xc037010e,
  /** HCS_E_SYSTEM_ALREADY_EXISTS. */
  SystemAlreadyExists: 0xc037010f,
  /** The state of the container does not allow it. */
  InvalidState: 0x80370105,
  /** The container has stopped already. */
  AlreadyStopped: 0x80370110,
} as const;

/** Closed: a code without a number does not compile. */
const hresultOfCode: Readonly<Record<AgentErrorCode, number>> = {
  'container-not-found': Hresult.SystemNotFound,
  'container-exists': Hresult.SystemAlreadyExists,
  'container-not-stopped': Hresult.InvalidState,
  'container-not-running': Hresult.AlreadyStopped,
  'container-not-created': Hresult.Fail,
  'container-paused': Hresult.InvalidState,
  'container-not-paused': Hresult.InvalidState,
  'container-busy': Hresult.InvalidState,
  'invalid-container-id': Hresult.InvalidArgument,
  'process-not-found': Hresult.NotFound,
  'process-exists': Hresult.InvalidState,
  'process-not-exited': Hresult.InvalidState,
  'start-timeout': Hresult.Fail,
  'namespace-not-found': Hresult.NotFound,
  'invalid-argument': Hresult.InvalidArgument,
  'not-a-terminal': Hresult.Fail,
  'wait-timeout': Hresult.Timeout,
  'not-supported': Hresult.NotImplemented,
  limit: Hresult.Fail,
  cancelled: Hresult.Fail,
  failed: Hresult.Fail,
};

/** A failure of the protocol itself, with the number the protocol gives it. */
export class HresultError extends Error {
  override readonly name = 'HresultError';
  readonly hresult: number;

  constructor(hresult: number, message: string) {
    super(message);
    this.hresult = hresult;
  }
}

/** A request that is JSON of the right types and still cannot be understood. The text for the host quotes it. */
export class UnintelligibleError extends HresultError {}

/** A failure as it goes to the host. */
export interface Failure {
  /** HRESULT as the signed number of the wire. */
  readonly result: number;
  readonly message: string;
}

/** Both fields of the wire for anything that was thrown. */
export function failureOf(error: unknown): Failure {
  if (error instanceof SchemaError) return failure(Hresult.InvalidJson, error.message);
  if (error instanceof HresultError) return failure(error.hresult, error.message);
  const agentError = AgentError.from(error);
  return failure(hresultOfCode[agentError.code], agentError.message);
}

/** The same failure with words about what was being done before it. */
export function inContext(context: string, cause: Failure): Failure {
  return { result: cause.result, message: `${context}: ${cause.message}` };
}

/**
 * E_FAIL has no number in its text; others are "HRESULT 0x80004001: cause", or "HRESULT:
 * 0xc037010e" where nothing is left to say.
 */
function failure(hresult: number, cause: string): Failure {
  const result = hresult | 0;
  if (hresult === Hresult.Fail) return { result, message: cause };
  const number = `0x${hresult.toString(16).padStart(8, '0')}`;
  if (cause === '') return { result, message: `HRESULT: ${number}` };
  return { result, message: `HRESULT ${number}: ${cause}` };
}
