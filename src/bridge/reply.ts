import { encodeJson } from '../schema/json-text.ts';
import type { Schema } from '../schema/schema.ts';
import { cutText } from './cut-text.ts';
import { encodeFrame, HEADER_BYTES } from './frame.ts';
import type { Failure } from './hresult.ts';
import { bridgeLimits } from './limits.ts';
import { replyTypeOf } from './message-types.ts';
import { plainReply } from './messages/common.ts';

/** What hosts take for an ActivityId. */
export const guid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * The host decodes ActivityId as a GUID and ends the bridge over anything else, so only a GUID
 * is echoed; without the field it takes the zero GUID.
 */
function activityField(activityId: string): { ActivityId?: string } {
  return guid.test(activityId) ? { ActivityId: activityId } : {};
}

/** JSON of a successful reply in the schema of its message. May be too long: see {@link fitsReply}. */
export function successText(
  reply: Schema<unknown, never>,
  activityId: string,
  body: object,
): string {
  const { encode } = reply as unknown as { encode: (value: object) => unknown };
  return encodeJson(encode({ Result: 0, ...activityField(activityId), ...body }));
}

/** JSON of a failed reply, always short enough: a text beyond the limit is cut and says so. */
export function failureText(activityId: string, failure: Failure): string {
  const message = cutText(failure.message, bridgeLimits.errorTextBytes, 'ends');
  const record = {
    Result: failure.result,
    Message: message,
    ModuleName: 'gcs',
    FileName: '',
    // No line is known. Hosts decode a u32, so it is not -1.
    Line: 0xffffffff,
  };
  return encodeJson(
    plainReply.encode({
      Result: failure.result,
      ...activityField(activityId),
      ErrorMessage: message,
      ErrorRecords: [record],
    }),
  );
}

/** True when the host accepts a message with this payload. */
export function fitsReply(text: string): boolean {
  // A UTF-16 unit takes at most three bytes of UTF-8: short texts need not be counted.
  const room = bridgeLimits.replyBytes - HEADER_BYTES;
  return text.length * 3 <= room || Buffer.byteLength(text) <= room;
}

/** The reply to the request with this type and id, as one buffer. */
export function replyFrame(requestType: number, id: bigint, text: string): Buffer {
  return encodeFrame(replyTypeOf(requestType), id, text);
}
