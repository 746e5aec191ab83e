import {
  array,
  boolean,
  doc,
  object,
  omitZero,
  optional,
  string,
  u32,
} from '../../schema/schema.ts';
import { replyBase, requestBase } from './common.ts';

export const schemaVersion = object({ Major: u32, Minor: u32 });

export const negotiateRequest = object({
  ...requestBase,
  MinimumVersion: u32,
  MaximumVersion: u32,
});

const guestCapabilities = object({
  SendHostCreateMessage: omitZero(boolean),
  SendHostStartMessage: omitZero(boolean),
  HvSocketConfigOnStartup: omitZero(boolean),
  NamespaceAddRequestSupported: omitZero(boolean),
  SignalProcessSupported: omitZero(boolean),
  DumpStacksSupported: omitZero(boolean),
  DeleteContainerStateSupported: omitZero(boolean),
});

export const negotiateReply = object({
  ...replyBase,
  Version: omitZero(u32),
  Capabilities: optional(
    object({
      SupportedSchemaVersions: array(schemaVersion),
      RuntimeOsType: doc('A host takes an empty one for Windows', string),
      GuestDefinedCapabilities: guestCapabilities,
    }),
  ),
});
