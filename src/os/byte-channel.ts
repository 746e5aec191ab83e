/** What comes in over a {@link ByteChannel}. Called in the event loop, never from within one of its methods but destroy. */
export interface ChannelReceiver {
  /** The bytes are the receiver's. */
  data(bytes: Buffer): void;
  /** The peer sends no more. */
  end(): void;
  /** All that was written has been taken by the kernel, after it once had not taken all at once. */
  drained(): void;
  /** Once, as the last: with the error that ended it, or undefined for destroy(). */
  closed(error: Error | undefined): void;
}

/** Is told whether the kernel took all of what was written. */
export type WriteDone = (error?: Error) => void;

/** A stream of bytes both ways, without the machinery of node:stream. */
export interface ByteChannel {
  /** Starts reading; to be called once. */
  open(receiver: ChannelReceiver): void;
  /** Stops reading until resume(). */
  pause(): void;
  resume(): void;
  /** Queues bytes, which are not to be changed any more; they go out with the next flush(), or after what waits. */
  write(bytes: Buffer, done: WriteDone): void;
  /** Hands what is queued to the kernel, as much as it takes now. */
  flush(): void;
  /** Bytes the kernel has not taken. */
  readonly unwritten: number;
  /** Closes it; what was not taken fails. */
  destroy(): void;
}
