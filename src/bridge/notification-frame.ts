import { encodeJson } from '../schema/json-text.ts';
import { notification } from './catalogue.ts';
import { encodeFrame } from './frame.ts';
import { ZERO_GUID } from './message-types.ts';
import { guid } from './reply.ts';

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
