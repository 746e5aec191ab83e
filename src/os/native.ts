import { existsSync } from 'node:fs';
import { join } from 'node:path';

declare const pollHandleBrand: unique symbol;
/** A uv_poll handle; opaque. */
export interface PollHandle {
  readonly [pollHandleBrand]: true;
}

declare const relayHandleBrand: unique symbol;
/** A relay thread; opaque. */
export interface RelayHandle {
  readonly [relayHandleBrand]: true;
}

declare const criLogHandleBrand: unique symbol;
/** A log of native/addon/cri_log.c. */
export interface CriLogHandle {
  readonly [criLogHandleBrand]: true;
}

/**
 * `barrier` is the latest one passed; `end` -1 while it runs, and once a RelayEnd by number; errno
 * and count of undelivered bytes belong to the end. The last three are set when they happen: what
 * stopped the tee, what the CRI log lost entries for, with what the destination went.
 */
export type RelayCallback = (
  barrier: number,
  end: number,
  errno: number,
  undelivered: number,
  teeErrno: number,
  logErrno: number,
  lostErrno: number,
) => void;

/**
 * The addon's functions as they are (native/addon). Numbers are results; below zero they are
 * `-errno`. Everything else of `src/os` wraps them into objects that own what they hold.
 */
export interface NativeAddon {
  // fd.c
  open(path: string, flags: number, mode: number): number;
  close(fd: number): number;
  dup(fd: number): number;
  dupOnto(fd: number, target: number): number;
  setNonBlock(fd: number, on: boolean): number;
  /** `out`: read end, write end. `size` 0: the kernel's default. */
  makePipe(nonBlockRead: boolean, nonBlockWrite: boolean, size: number, out: Int32Array): number;
  bytesReadable(fd: number): number;

  // socket.c
  socket(family: number): number;
  bindVsock(fd: number, cid: number, port: number): number;
  connectVsock(fd: number, cid: number, port: number): number;
  vsockPeerCid(fd: number): number;
  bindUnix(fd: number, path: string): number;
  connectUnix(fd: number, path: string): number;
  /** Whether somebody has bound the socket file: -ECONNREFUSED nobody, -EPROTOTYPE a stream socket. The first argument is not used. */
  probeUnix(unused: number, path: string): number;
  listen(fd: number, backlog: number): number;
  accept(fd: number): number;
  /** `-SO_ERROR`, so 0 when there is none. */
  socketError(fd: number): number;
  shutdown(fd: number, how: number): number;
  socketPair(out: Int32Array): number;
  /** The same with SOCK_SEQPACKET. */
  packetPair(out: Int32Array): number;
  /** `out`: count, 1 when some did not fit, the descriptors. */
  receiveFds(fd: number, bytes: Uint8Array, out: Int32Array): number;
  sendFds(fd: number, bytes: Uint8Array, fds: Int32Array): number;

  // poll.c
  /** `uvEvents`: UV_READABLE 1, UV_WRITABLE 2, UV_DISCONNECT 4. The callback gets poll(2) revents. */
  pollNew(fd: number, uvEvents: number, callback: (revents: number) => void): PollHandle | number;
  pollStart(handle: PollHandle): number;
  pollStop(handle: PollHandle): number;
  /** `uvEvents` as pollNew's; starts the poll, or stops it for none. */
  pollWant(handle: PollHandle, uvEvents: number): number;
  pollRef(handle: PollHandle, keepAlive: boolean): number;
  pollClose(handle: PollHandle): number;
  pollNow(fd: number, events: number): number;

  // process.c
  /** `out`: the child's pidfd, and on failure the step (src/os/spawn.ts). `openFiles`: soft limit, -1: as it is. */
  spawn(
    file: string,
    searchPath: string,
    args: readonly string[],
    env: readonly string[],
    stdio: Int32Array,
    cwd: string | undefined,
    newSession: boolean,
    terminal: string | undefined,
    out: Int32Array,
    openFiles: number,
  ): number;
  pidfdOpen(pid: number): number;
  pidfdSignal(pidfd: number, signal: number): number;
  /** wait(2) status of a process that somebody else collected; -ENODATA when the kernel cannot say. */
  pidfdExitStatus(pidfd: number): number;
  /** `out`: si_pid, si_code, si_status. 1 when there was one, else 0. */
  waitid(type: number, id: number, options: number, out: Int32Array): number;
  setChildSubreaper(on: boolean): number;

  // pty.c
  /** `out`: master, number of the slave in /dev/pts. */
  openPty(out: Int32Array): number;
  setWindowSize(fd: number, columns: number, rows: number): number;
  /** `out`: columns, rows. */
  getWindowSize(fd: number, out: Int32Array): number;

  // relay.c
  /** `fds`: source, destination, tee, read and write end of the pipe between, sink; -1 is none. `flags`: enum relay_flags. `stream` of the log: 0 stdout, 1 stderr. */
  relayStart(
    fds: Int32Array,
    flags: number,
    log: CriLogHandle | null,
    stream: number,
    callback: RelayCallback,
  ): RelayHandle | number;
  relayBytes(handle: RelayHandle): number;
  relayCancel(handle: RelayHandle): number;
  relayBarrier(handle: RelayHandle): number;
  /** SIOCOUTQ. */
  bytesUnread(fd: number): number;

  // cri_log_js.c
  /** `maxBytes` 0: no limit. */
  criLogOpen(
    directory: number,
    name: string,
    mode: number,
    maxBytes: number,
    maxFiles: number,
  ): CriLogHandle | number;
  criLogWrite(log: CriLogHandle, stream: number, bytes: Uint8Array): number;
  criLogReopen(log: CriLogHandle): number;
  criLogClose(log: CriLogHandle): number;
  /** Entries written, entries lost, rotations, errno of the latest failure. */
  criLogCounts(log: CriLogHandle): [number, number, number, number];

  // memory.c
  /** The bytes of a regular file as a buffer, or -errno; -EINVAL when the file is shorter. */
  mapShared(fd: number, offset: number, size: number): ArrayBuffer | number;
  /** Detaches the buffer. */
  unmapShared(buffer: ArrayBuffer): number;
  memoryFile(size: number): number;

  // event.c
  eventFd(): number;
  epollNew(): number;
  /** `events`: epoll(7) bits; edge-triggered is added. */
  epollAdd(epoll: number, fd: number, events: number, id: number): number;
  epollRemove(epoll: number, fd: number): number;
  /** `out`: pairs of id and events. */
  epollTake(epoll: number, out: Int32Array): number;
  readBytes(fd: number, bytes: Uint8Array): number;
  writeBytes(fd: number, bytes: Uint8Array): number;

  // netlink.c
  /** A non-blocking socket of the network namespace (a descriptor of it, or -1: our own). */
  socketIn(namespace: number, family: number, type: number, protocol: number): number;
  /** Binds a netlink socket; `group` 0: none. */
  netlinkSetUp(fd: number, group: number): number;
  netlinkSend(fd: number, bytes: Uint8Array): number;
  /** Length of the kernel's next datagram, more than `bytes` when it was cut. */
  netlinkReceive(fd: number, bytes: Uint8Array): number;
  packetBindDhcp(fd: number, index: number): number;
  /** -EADDRINUSE when somebody else has it. */
  claimDhcpPort(fd: number, index: number): number;
  packetSend(fd: number, bytes: Uint8Array, index: number, receiver: Uint8Array): number;
  /** Length of the next IP packet; `sender`: its six bytes. */
  packetReceive(fd: number, bytes: Uint8Array, sender: Uint8Array): number;

  // mount.c
  openAt2(directory: number, path: string, flags: number, mode: number, resolve: number): number;
  fsOpen(type: string): number;
  /** `command`: FSCONFIG_*. */
  fsConfig(
    context: number,
    command: number,
    key: string,
    value: string | null,
    aux: number,
  ): number;
  fsCreate(context: number): Promise<number>;
  fsMount(context: number, attributes: number): number;
  moveMount(mount: number, directory: number): number;
  openTree(directory: number, path: string, flags: number): number;
  mountSetAttributes(
    mount: number,
    recursive: boolean,
    set: number,
    clear: number,
    propagation: number,
  ): number;
  /** mount(2). */
  mountOld(
    source: string,
    target: string,
    type: string,
    flags: number,
    data: string,
  ): Promise<number>;
  unmount(target: string, flags: number): Promise<number>;

  // dm.c
  /** `message`: a dm_ioctl and what follows it, written to until the promise is resolved. */
  dmIoctl(
    control: number,
    command: number,
    message: Uint8Array,
    keyName: string | null,
    key: Uint8Array | null,
  ): Promise<number> | number;

  // uevent.c
  ueventSocket(): number;

  // inotify.c
  inotifyInit(): number;
  /** A watch descriptor. */
  inotifyAdd(fd: number, path: string, mask: number): number;
  inotifyRemove(fd: number, watch: number): number;
}

// In the bundle (build/gcs.cjs, CommonJS) there is no import.meta, in the source tree no __dirname.
const here = typeof __dirname === 'string' ? __dirname : import.meta.dirname;

function addonPath(): string {
  const override = process.env.GCS_NATIVE;
  if (override !== undefined && override !== '') return override;
  const candidates = [
    join(here, 'native/gcs_native.node'),
    join(here, '../../build/native/gcs_native.node'),
  ];
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) {
    throw new Error(
      `the native addon is not built (looked for ${candidates.join(' and ')}): run npm run build`,
    );
  }
  return found;
}

function load(): NativeAddon {
  const path = addonPath();
  const holder: { exports: object } = { exports: {} };
  try {
    process.dlopen(holder, path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the native addon cannot be loaded: ${reason}: run npm run build`, { cause });
  }
  return holder.exports as NativeAddon;
}

let loaded: NativeAddon | undefined;

/** The addon, loaded when first asked for. Throws an error that names the remedy when it is missing. */
export function native(): NativeAddon {
  loaded ??= load();
  return loaded;
}
