import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { type RawAgent, startRawAgent } from '../test/support/agent-process.ts';

const AGENT = fileURLToPath(new URL('../bin/gcs', import.meta.url));

/** An agent to measure: ours or a peer. */
export interface Subject {
  name: string;
  /** {PATH} stands for the hybrid vsock's path. */
  command: readonly string[];
}

export const OURS: Subject = {
  name: 'gcs',
  command: [AGENT, '-v4', '-loglevel', 'error', '-transport', 'hybrid:{PATH}'],
};

/** Bare, in this process's own namespaces: what is measured is the agent, not its isolation. */
export function startSubject(subject: Subject): Promise<RawAgent> {
  return startRawAgent({ command: subject.command, isolate: false });
}

export interface MeasureContext {
  subject: Subject;
  quick: boolean;
  /** A busybox root file system, shared and not written to. */
  rootfs: string;
  /** For bundles and sockets; removed at the end. */
  directory: string;
  /** Says what is under way. */
  progress(text: string): void;
}

let counter = 0;
const run = randomBytes(3).toString('hex');

/** A container id no other run uses. */
export function freshId(): string {
  counter += 1;
  return `bench-${run}-${counter}`;
}

/** Whether a container of that id was made by this run. */
export function isOurs(id: string): boolean {
  return id.startsWith(`bench-${run}-`);
}
