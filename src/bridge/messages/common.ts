import {
  array,
  doc,
  i32,
  map,
  object,
  omitZero,
  optional,
  string,
  u32,
} from '../../schema/schema.ts';

/** Span of the host that a request belongs to, as OpenCensus writes it. */
const openCensusSpan = object({
  TraceID: omitZero(doc('32 hex digits', string)),
  SpanID: omitZero(doc('16 hex digits', string)),
  TraceOptions: omitZero(u32),
  Tracestate: omitZero(doc('base64', string)),
});

/** Fields of every request. */
export const requestBase = {
  ContainerId: doc('The null GUID is the VM itself', string),
  ActivityId: omitZero(doc('GUID that comes back in the reply', string)),
  ocsc: optional(doc('OpenCensus span', openCensusSpan)),
  otsc: optional(doc('W3C trace context: `traceparent`, `tracestate`', map(string))),
};

const errorRecord = object({
  Result: doc('HRESULT', i32),
  Message: string,
  StackTrace: omitZero(string),
  ModuleName: string,
  FileName: string,
  Line: doc('4294967295: unknown', u32),
  FunctionName: omitZero(string),
});

/** Fields of every reply. */
export const replyBase = {
  Result: doc('0 or a HRESULT as a signed number', i32),
  ActivityId: optional(doc('That of the request when it was a GUID', string)),
  ErrorMessage: omitZero(string),
  ErrorRecords: omitZero(array(errorRecord)),
};

/** A request or reply with nothing but the common fields. */
export const plainRequest = object(requestBase);
export const plainReply = object(replyBase);
