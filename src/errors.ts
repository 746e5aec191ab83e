/** What went wrong, independent of any wire format; the bridge maps each code to one HRESULT. */
export type AgentErrorCode =
  | 'container-not-found'
  | 'container-exists'
  | 'container-not-stopped'
  | 'container-not-running'
  /** It was started before. */
  | 'container-not-created'
  | 'container-paused'
  | 'container-not-paused'
  /** The container is being created or deleted right now. */
  | 'container-busy'
  | 'invalid-container-id'
  | 'process-not-found'
  | 'process-exists'
  /** It has no exit status yet. */
  | 'process-not-exited'
  /** What was to be started hung and was killed. */
  | 'start-timeout'
  | 'namespace-not-found'
  /** A value from the host is not acceptable; `field` names it. */
  | 'invalid-argument'
  | 'not-a-terminal'
  | 'wait-timeout'
  | 'not-supported'
  /** A bound of LIMITS.md was reached. */
  | 'limit'
  | 'cancelled'
  | 'failed';

export interface AgentErrorDetails {
  /** What was being done: "create", "exec". */
  operation?: string;
  containerId?: string;
  /** Path of the offending field in the request, e.g. "OciSpecification.process.args". */
  field?: string;
  /** errno(3) name. */
  errno?: string;
  cause?: unknown;
}

/** The one error class of the agent. `message` is a complete sentence part for the host. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: AgentErrorCode;
  readonly operation: string | undefined;
  readonly containerId: string | undefined;
  readonly field: string | undefined;
  readonly errno: string | undefined;

  constructor(code: AgentErrorCode, message: string, details: AgentErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.operation = details.operation;
    this.containerId = details.containerId;
    this.field = details.field;
    this.errno = details.errno;
  }

  /** Every `catch` goes through here: an AgentError stays itself, anything else becomes 'failed' with its own text. */
  static from(error: unknown, details: AgentErrorDetails = {}): AgentError {
    if (error instanceof AgentError) return error;
    const message = error instanceof Error ? error.message : String(error);
    const errno = (error as { code?: unknown } | null)?.code;
    return new AgentError('failed', message, {
      ...(typeof errno === 'string' ? { errno } : {}),
      ...details,
      cause: error,
    });
  }
}
