import { expect, test } from 'vitest';
import { traceFields } from './trace-context.ts';

const traceID = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanID = '00f067aa0ba902b7';
const traceparent = `00-${traceID}-${spanID}-01`;

test('traceparent gives the ids', () => {
  expect(traceFields({ otsc: { traceparent } })).toEqual({ traceID, spanID });
});

test('OpenCensus gives the ids', () => {
  expect(traceFields({ ocsc: { TraceID: traceID, SpanID: spanID } })).toEqual({ traceID, spanID });
});

test('the newer form wins', () => {
  const other = { TraceID: 'a'.repeat(32), SpanID: 'b'.repeat(16) };
  expect(traceFields({ otsc: { traceparent }, ocsc: other })).toEqual({ traceID, spanID });
});

test.each([
  {},
  { otsc: {} },
  { otsc: { traceparent: 'x' } },
  { otsc: { traceparent: traceparent.replace('4bf9', 'XXXX') } },
  { ocsc: { TraceID: '', SpanID: '' } },
  { ocsc: { TraceID: traceID, SpanID: 'short' } },
])('a context that is not well-formed is left out: %j', (request) => {
  expect(traceFields(request)).toEqual({});
});
