import {
  array,
  doc,
  embedded,
  object,
  omitZero,
  optional,
  rawObject,
  string,
  u32,
} from '../../schema/schema.ts';
import { replyBase, requestBase } from './common.ts';

export const getPropertiesRequest = object({
  ...requestBase,
  Query: doc(
    '`ProcessList`, `Statistics`; others are ignored',
    embedded(object({ PropertyTypes: omitZero(array(string)) }), 'zero'),
  ),
});

export const getPropertiesReply = object({
  ...replyBase,
  Properties: optional(
    embedded(
      object({
        ProcessList: omitZero(array(object({ ProcessId: u32 }))),
        LCOWMetrics: optional(doc('cgroup v1 figures, snake case, no zeros', rawObject)),
      }),
      'zero',
    ),
  ),
});

export const dumpStacksReply = object({ ...replyBase, GuestStacks: optional(string) });
