import { catalogue, type Notification, notification, type Reply } from '../bridge/catalogue.ts';
import type { RequestName } from '../bridge/message-types.ts';
import { decodeJson } from '../schema/json-text.ts';
import { SchemaError } from '../schema/schema.ts';
import { GuestError } from './errors.ts';

/** The fields every reply has. */
export type AnyReply = Reply<'Start'>;

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A reply, or what is wrong with it. */
export function decodeReply(
  name: RequestName,
  payload: Buffer,
  strict: boolean,
): AnyReply | string {
  const decoded = decode(payload, catalogue[name].reply.decode);
  if (typeof decoded === 'string') return `the reply to ${name} cannot be decoded: ${decoded}`;
  const { ActivityId } = decoded;
  if (strict && ActivityId !== undefined && !GUID.test(ActivityId)) {
    return `the ActivityId "${ActivityId}" in the reply to ${name} is no GUID`;
  }
  return decoded;
}

/** The exit notification, or what is wrong with it. */
export function decodeNotification(payload: Buffer, strict: boolean): Notification | string {
  const decoded = decode(payload, notification.schema.decode);
  if (typeof decoded === 'string') return `a notification cannot be decoded: ${decoded}`;
  if (strict && !GUID.test(decoded.ActivityId)) {
    return `the ActivityId "${decoded.ActivityId}" in a notification is no GUID`;
  }
  return decoded;
}

/** The failure a reply with a Result tells of. */
export function toGuestError(name: RequestName, reply: AnyReply): GuestError {
  return new GuestError({
    hresult: reply.Result >>> 0,
    request: name,
    message: reply.ErrorMessage,
    records: reply.ErrorRecords.map((record) => ({
      result: record.Result >>> 0,
      message: record.Message,
      moduleName: record.ModuleName,
      fileName: record.FileName,
      line: record.Line,
      ...(record.StackTrace === '' ? {} : { stackTrace: record.StackTrace }),
      ...(record.FunctionName === '' ? {} : { functionName: record.FunctionName }),
    })),
  });
}

function decode<T>(payload: Buffer, schema: (value: unknown) => T): T | string {
  try {
    return schema(decodeJson(payload.toString('utf8')));
  } catch (error) {
    if (error instanceof SchemaError || error instanceof SyntaxError) return error.message;
    throw error;
  }
}
