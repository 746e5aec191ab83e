import {
  boolean,
  doc,
  embedded,
  i32,
  object,
  omitZero,
  optional,
  raw,
  required,
  string,
  u32,
} from '../../schema/schema.ts';
import { ociSpec } from '../../spec/oci-schema.ts';
import { replyBase, requestBase } from './common.ts';
import { schemaVersion } from './negotiate.ts';

const containerConfig = object({
  SchemaVersion: doc('At least 2.1', schemaVersion),
  OciBundlePath: required(doc('Directory for config.json and the log of the runtime', string)),
  OciSpecification: required(ociSpec),
  ScratchDirPath: omitZero(doc('Removed with the container', string)),
});

export const createRequest = object({
  ...requestBase,
  ContainerConfig: embedded(containerConfig),
  SupportedVersions: optional(doc('Ignored', raw)),
});

export const createReply = object({ ...replyBase, SelectedProtocolVersion: optional(u32) });

export const containerNotification = object({
  ContainerId: string,
  ActivityId: doc('That of the Create', string),
  Type: doc('`GracefulExit`, `ForcedExit` or `UnexpectedExit`', string),
  Operation: doc('`None`', string),
  Result: i32,
  ResultInfo: optional(
    doc(
      'Only when it was killed for memory',
      embedded(object({ OutOfMemory: boolean, MemoryKills: u32 })),
    ),
  ),
});
