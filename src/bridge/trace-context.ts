import type { LogFields } from '../log/logger.ts';

/** The two forms a request may carry its trace context in. */
interface Traced {
  readonly otsc?: Readonly<Record<string, string>> | undefined;
  readonly ocsc?: { readonly TraceID: string; readonly SpanID: string } | undefined;
}

/** W3C Trace Context, "traceparent": version, trace id, parent id, flags. */
const traceparent = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-|$)/;
const traceId = /^[0-9a-f]{32}$/i;
const spanId = /^[0-9a-f]{16}$/i;

/**
 * Log fields that tie a request to the host's span. `otsc` is the newer form and wins. A context
 * that is not well-formed is left out: nothing but logs depends on it.
 */
export function traceFields({ otsc, ocsc }: Traced): LogFields {
  const parent = otsc?.traceparent?.match(traceparent);
  if (parent?.[1] !== undefined && parent[2] !== undefined) {
    return { traceID: parent[1], spanID: parent[2] };
  }
  if (ocsc !== undefined && traceId.test(ocsc.TraceID) && spanId.test(ocsc.SpanID)) {
    return { traceID: ocsc.TraceID, spanID: ocsc.SpanID };
  }
  return {};
}
