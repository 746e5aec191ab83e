import type { InOf, OutOf, Schema } from '../schema/schema.ts';
import { CONTAINER_NOTIFICATION, MessageType, type RequestName } from './message-types.ts';
import { plainReply, plainRequest, type replyBase } from './messages/common.ts';
import { containerNotification, createReply, createRequest } from './messages/lifecycle.ts';
import { negotiateReply, negotiateRequest } from './messages/negotiate.ts';
import {
  executeProcessReply,
  executeProcessRequest,
  resizeRequest,
  signalRequest,
  waitReply,
  waitRequest,
} from './messages/process.ts';
import { dumpStacksReply, getPropertiesReply, getPropertiesRequest } from './messages/query.ts';
import { modifySettingsRequest } from './messages/settings.ts';

interface Definition {
  readonly type: number;
  readonly request: Schema<unknown, never>;
  readonly reply: Schema<unknown, never>;
  /** For people: what it does and what is particular about it. */
  readonly doc: string;
}

/**
 * Every request of the protocol: number, fields both ways, meaning. Decoding, dispatch, the
 * client and PROTOCOL.md all follow from this table, so a message is added here or nowhere.
 */
export const catalogue = {
  NegotiateProtocol: {
    type: MessageType.NegotiateProtocol,
    request: negotiateRequest,
    reply: negotiateReply,
    doc: 'The first message of a connection. The version is 4, so the range must hold 4; after an error the host may try again, after a success it may not.',
  },
  Create: {
    type: MessageType.Create,
    request: createRequest,
    reply: createReply,
    doc: 'Makes a container. Its init process waits until ExecuteProcess starts it. A failed Create leaves nothing behind.',
  },
  Start: {
    type: MessageType.Start,
    request: plainRequest,
    reply: plainReply,
    doc: 'Does nothing and succeeds, for a container that does not exist too: ExecuteProcess starts the init process.',
  },
  ShutdownGraceful: {
    type: MessageType.ShutdownGraceful,
    request: plainRequest,
    reply: plainReply,
    doc: 'SIGTERM to the container; replies when it is sent. For the VM: power off, no reply.',
  },
  ShutdownForced: {
    type: MessageType.ShutdownForced,
    request: plainRequest,
    reply: plainReply,
    doc: 'SIGKILL to the container; replies when it is sent. For the VM: power off, no reply.',
  },
  ExecuteProcess: {
    type: MessageType.ExecuteProcess,
    request: executeProcessRequest,
    reply: executeProcessReply,
    doc: 'Starts the init process of a container, another process in it, or a process of the VM. Stdio is dialed (in, out, err) before the process starts and before the reply.',
  },
  WaitForProcess: {
    type: MessageType.WaitForProcess,
    request: waitRequest,
    reply: waitReply,
    doc: 'Held open until the process has ended and its output is drained, or until the timeout.',
  },
  SignalProcess: {
    type: MessageType.SignalProcess,
    request: signalRequest,
    reply: plainReply,
    doc: 'Sends a signal, SIGKILL when none is named, to one process.',
  },
  ResizeConsole: {
    type: MessageType.ResizeConsole,
    request: resizeRequest,
    reply: plainReply,
    doc: 'Sets the window size of the terminal of a process.',
  },
  GetProperties: {
    type: MessageType.GetProperties,
    request: getPropertiesRequest,
    reply: getPropertiesReply,
    doc: 'Processes and statistics of a container, as asked for.',
  },
  ModifySettings: {
    type: MessageType.ModifySettings,
    request: modifySettingsRequest,
    reply: plainReply,
    doc: 'Adds, removes or updates a resource of the VM or of a container.',
  },
  DumpStacks: {
    type: MessageType.DumpStacks,
    request: plainRequest,
    reply: dumpStacksReply,
    doc: 'The state of the agent as text, for people who look for a fault.',
  },
  DeleteContainerState: {
    type: MessageType.DeleteContainerState,
    request: plainRequest,
    reply: plainReply,
    doc: 'Deletes a container that is not running, with its bundle and scratch directory. A running one stays as it was.',
  },
} as const satisfies { readonly [N in RequestName]: Definition };

/** Sent once per container, after its init has ended and who waited has been answered. Message id 0. */
export const notification = {
  type: CONTAINER_NOTIFICATION,
  name: 'ContainerNotification',
  schema: containerNotification,
  doc: 'A container has ended. Sent once per container, after the replies to those who wait for its init.',
} as const;

type Catalogue = typeof catalogue;

/** A request as the agent sees it: decoded, zero values filled in. */
export type Request<N extends RequestName> = OutOf<Catalogue[N]['request']>;
/** A request as a host writes it: what may be left out is optional. */
export type RequestInput<N extends RequestName> = InOf<Catalogue[N]['request']>;
/** A reply as a host sees it. */
export type Reply<N extends RequestName> = OutOf<Catalogue[N]['reply']>;
/** What a handler answers: the reply without the fields every reply has. */
export type ReplyBody<N extends RequestName> = Omit<
  InOf<Catalogue[N]['reply']>,
  keyof typeof replyBase
>;
export type Notification = OutOf<typeof containerNotification>;
