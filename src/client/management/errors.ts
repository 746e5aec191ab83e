import type { ManagementErrorCode, ManagementErrorData } from '../../management/errors.ts';

/** The agent answered a request with a failure. */
export class ManagementRequestError extends Error {
  override readonly name = 'ManagementRequestError';
  readonly method: string;
  readonly data: ManagementErrorData;

  constructor(method: string, message: string, data: ManagementErrorData) {
    super(message);
    this.method = method;
    this.data = data;
  }

  get code(): ManagementErrorCode {
    return this.data.code;
  }
}

export type ManagementConnectionErrorCode =
  /** Nobody serves the door: no agent, or one whose door is shut. */
  | 'no-agent'
  /** This side closed it. */
  | 'closed'
  /** The agent closed it, or the connection broke. */
  | 'lost'
  /** The agent broke the protocol. */
  | 'protocol';

/** There is no connection to the agent (any more). */
export class ManagementConnectionError extends Error {
  override readonly name = 'ManagementConnectionError';
  readonly code: ManagementConnectionErrorCode;

  constructor(code: ManagementConnectionErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
