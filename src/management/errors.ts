import type { AgentErrorCode } from '../errors.ts';

/**
 * What a failed request says in `error.data.code`, with the number of `error.code`. Numbers of
 * JSON-RPC (-32768 to -32000) where it has one for the case, LSP's for a cancelled request, else
 * ours. Codes are the contract, texts are for people.
 */
export const errorNumbers = {
  /** Not JSON. */
  'parse-error': -32700,
  /** No JSON-RPC 2.0 request; an id that is still unanswered. */
  'invalid-request': -32600,
  'method-not-found': -32601,
  /** A parameter is wrong: `data.field` names it. */
  'invalid-argument': -32602,
  /** A fault of the agent; its log has the stack. */
  internal: -32603,
  /** `initialize` comes first. */
  'not-initialized': -32002,
  /** By $/cancelRequest. */
  cancelled: -32800,
  failed: 1000,
  'not-supported': 1001,
  /** A bound of LIMITS.md was reached. */
  limit: 1002,
  /** The time of the request was up. */
  timeout: 1003,
  'container-not-found': 1010,
  'container-exists': 1011,
  'container-not-stopped': 1012,
  'container-not-running': 1013,
  'container-not-created': 1014,
  'container-not-paused': 1015,
  'container-paused': 1016,
  /** It is being created or deleted right now. */
  'container-busy': 1017,
  'invalid-container-id': 1018,
  'process-not-found': 1020,
  'process-exists': 1021,
  'process-not-exited': 1022,
  'start-timeout': 1024,
  'not-a-terminal': 1025,
  'namespace-not-found': 1030,
  /** The token of a stream is unknown, used already, or nobody connected with it in time. */
  'stream-not-found': 1040,
  /** Its peer has gone in the middle. */
  'stream-broken': 1041,
  'path-not-found': 1050,
} as const;

export type ManagementErrorCode = keyof typeof errorNumbers;

/** `error.data` of every failed request. */
export interface ManagementErrorData {
  readonly code: ManagementErrorCode;
  /** Path of the parameter that is wrong: "process.args[2]". */
  readonly field?: string;
  readonly containerId?: string;
  /** errno(3) name. */
  readonly errno?: string;
  /** The OCI runtime's own words. */
  readonly runtimeMessage?: string;
}

/** A request that cannot be granted, for reasons of the door itself. */
export class ManagementError extends Error {
  override readonly name = 'ManagementError';
  readonly data: ManagementErrorData;

  constructor(
    code: ManagementErrorCode,
    message: string,
    data: Omit<ManagementErrorData, 'code'> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.data = { code, ...data };
  }

  get code(): ManagementErrorCode {
    return this.data.code;
  }
}

/** The agent's codes in the words of the contract. */
export function codeOf(code: AgentErrorCode): ManagementErrorCode {
  return code === 'wait-timeout' ? 'timeout' : code;
}
