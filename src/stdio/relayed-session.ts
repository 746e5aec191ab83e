import type { WindowSize } from '../os/pty.ts';
import type { StdioReport, StdioSession } from './stdio.ts';
import type { StreamGroup } from './stream-group.ts';

/** A session whose streams are relayed: what happens to it happens to all of them. */
export abstract class RelayedSession implements StdioSession {
  abstract readonly terminal: boolean;
  protected abstract readonly group: StreamGroup;

  get drained(): Promise<StdioReport> {
    return this.group.drained;
  }
  get closed(): Promise<StdioReport> {
    return this.group.closed;
  }
  processExited(): void {
    this.group.processExited();
  }
  abstract resize(size: WindowSize): void;
  closeStdin(): void {
    this.group.closeStdin();
  }
  abort(): void {
    this.group.abort();
  }
  snapshot(): StdioReport {
    return this.group.snapshot();
  }
}
