/** Why the connection to a guest cannot be used (any more), or not for this request. */
export type BridgeErrorCode =
  /** This side closed it. */
  | 'closed'
  /** The guest closed it or the connection broke. */
  | 'lost'
  /** The guest broke the protocol; the bridge was ended for it. */
  | 'protocol'
  /** No guest dialed, or answered the dial, in time. */
  | 'no-guest'
  /** This one request was not answered in the caller's time; the bridge lives on. */
  | 'timeout'
  /** The request cannot be sent: too long, or streams without a transport. */
  | 'invalid-request';

/** The bridge failed, as opposed to GuestError: the guest answered with a failure. */
export class BridgeError extends Error {
  override readonly name = 'BridgeError';
  readonly code: BridgeErrorCode;

  constructor(code: BridgeErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
  }
}

/** One entry of a reply's ErrorRecords, bridge protocol, "Common fields". */
export interface GuestErrorRecord {
  readonly result: number;
  readonly message: string;
  readonly moduleName: string;
  readonly fileName: string;
  /** 4294967295 = unknown. */
  readonly line: number;
  readonly stackTrace?: string;
  readonly functionName?: string;
}

/** The guest answered a request with a failure. */
export class GuestError extends Error {
  override readonly name = 'GuestError';
  /** HRESULT as an unsigned 32-bit number, e.g. 0xC037010E. */
  readonly hresult: number;
  /** Symbolic name, "HCS_E_SYSTEM_NOT_FOUND", or "0x…" for one without. */
  readonly hresultName: string;
  /** The request it answers, e.g. "Create". */
  readonly request: string;
  readonly records: readonly GuestErrorRecord[];

  constructor(details: {
    hresult: number;
    request: string;
    message: string;
    records: readonly GuestErrorRecord[];
  }) {
    const name = hresultName(details.hresult);
    super(details.message === '' ? name : details.message);
    this.hresult = details.hresult;
    this.hresultName = name;
    this.request = details.request;
    this.records = details.records;
  }
}

const HRESULT_NAMES: ReadonlyMap<number, string> = new Map([
  [0x80004001, 'E_NOTIMPL'],
  [0x80004005, 'E_FAIL'],
  [0x80070057, 'E_INVALIDARG'],
  [0x80070490, 'ERROR_NOT_FOUND'],
  [0x80370105, 'HCS_E_INVALID_STATE'],
  [0x80370110, 'HCS_E_SYSTEM_ALREADY_STOPPED'],
  [0xc0370109, 'HCS_E_OPERATION_TIMEOUT'],
  [0xc037010b, 'HCS_E_UNKNOWN_MESSAGE'],
  [0xc037010c, 'HCS_E_UNSUPPORTED_PROTOCOL_VERSION'],
  [0xc037010d, 'HCS_E_INVALID_JSON'],
  [0xc037010e, 'HCS_E_SYSTEM_NOT_FOUND'],
  [0xc037010f, 'HCS_E_SYSTEM_ALREADY_EXISTS'],
]);

/** Symbolic name of an HRESULT (signed or unsigned), or its hexadecimal form. */
export function hresultName(hresult: number): string {
  const unsigned = hresult >>> 0;
  return HRESULT_NAMES.get(unsigned) ?? `0x${unsigned.toString(16).toUpperCase().padStart(8, '0')}`;
}
