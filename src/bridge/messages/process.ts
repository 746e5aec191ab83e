import {
  array,
  boolean,
  doc,
  embedded,
  i32,
  map,
  object,
  omitZero,
  optional,
  string,
  u16,
  u32,
} from '../../schema/schema.ts';
import { ociProcess } from '../../spec/oci-schema.ts';
import { replyBase, requestBase } from './common.ts';

const processParameters = object({
  CommandLine: omitZero(
    doc('VM process: the command in words of a shell, when there are no CommandArgs', string),
  ),
  CommandArgs: omitZero(doc('VM process: argv', array(string))),
  WorkingDirectory: omitZero(string),
  Environment: omitZero(doc('VM process: only these variables', map(string))),
  EmulateConsole: omitZero(doc('VM process: give it a terminal', boolean)),
  ConsoleSize: omitZero(doc('VM process: `[height, width]` of the terminal', array(u16))),
  CreateStdInPipe: omitZero(boolean),
  CreateStdOutPipe: omitZero(boolean),
  CreateStdErrPipe: omitZero(boolean),
  CreateInUtilityVM: omitZero(doc('A VM process although a container is named', boolean)),
  OciProcess: optional(doc('Exec in a container; absent: start its init', ociProcess)),
});

const stdioPorts = object({
  StdIn: omitZero(u32),
  StdOut: omitZero(u32),
  StdErr: omitZero(u32),
});

export const executeProcessRequest = object({
  ...requestBase,
  Settings: object({
    ProcessParameters: embedded(processParameters),
    VsockStdioRelaySettings: doc(
      'Ports of the host; the Create flags say which are dialed',
      stdioPorts,
    ),
  }),
});

export const executeProcessReply = object({
  ...replyBase,
  ProcessId: optional(doc('Pid in the guest', u32)),
});

export const waitRequest = object({
  ...requestBase,
  ProcessId: u32,
  TimeoutInMs: doc('4294967295: no limit', u32),
});

export const waitReply = object({
  ...replyBase,
  ExitCode: optional(doc('Exit status, or 128 + signal', u32)),
});

export const signalRequest = object({
  ...requestBase,
  ProcessId: u32,
  Options: object({ Signal: omitZero(doc('0 is SIGKILL', i32)) }),
});

export const resizeRequest = object({
  ...requestBase,
  ProcessId: u32,
  Height: doc('Rows', u16),
  Width: doc('Columns', u16),
});
