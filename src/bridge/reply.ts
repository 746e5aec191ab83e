import { encodeJson } from '../schema/json-text.ts';
import { catalogue, notification, type ReplyBody } from './catalogue.ts';
import { cutText } from './cut-text.ts';
import { encodeFrame, HEADER_BYTES } from './frame.ts';
import type { Failure } from './hresult.ts';
import { bridgeLimits } from './limits.ts';
import { type RequestName, replyTypeOf, ZERO_GUID } from './message-types.ts';
import { plainReply } from './messages/common.ts';

const guid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * The host decodes ActivityId as a GUID and ends the bridge over anything else, so only a GUID
 * is echoed; without the field it takes the zero GUID.
 */
function activityField(activityId: string): { ActivityId?: string } {
  return guid.test(activityId) ? { ActivityId: activityId } : {};
}

/** JSON of a successful reply. May be too long: see {@link fitsReply}. */
export function successText<N extends RequestName>(
  name: N,
  activityId: string,
  body: ReplyBody<N>,
): string {
  const { encode } = catalogue[name].reply as { encode: (value: object) => unknown };
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

/**
 * The exit notification of a container. The host has no use for one whose ActivityId is no GUID,
 * nor for a ResultInfo that is not JSON. `memoryKills`: how many of its processes were killed for
 * memory when that was its end.
 */
export function notificationFrame(
  containerId: string,
  activityId: string,
  type: string,
  memoryKills = 0,
): Buffer {
  const body = notification.schema.encode({
    ContainerId: containerId,
    ActivityId: guid.test(activityId) ? activityId : ZERO_GUID,
    Type: type,
    Operation: 'None',
    Result: 0,
    ...(memoryKills > 0 && { ResultInfo: { OutOfMemory: true, MemoryKills: memoryKills } }),
  });
  return encodeFrame(notification.type, 0n, encodeJson(body));
}
