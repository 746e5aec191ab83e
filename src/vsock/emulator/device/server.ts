import type { Logger } from '../../../log/logger.ts';
import { type FdListener, listenUnix } from '../../../os/socket.ts';
import { ConnectServer, type HandshakeLimits } from '../../connect-server.ts';
import type { TransportError } from '../../transport.ts';
import { VsockDevice } from './device.ts';
import { type DeviceLimits, deviceLimits } from './limits.ts';
import { VhostSession } from './vhost-session.ts';

export interface VsockDeviceServerOptions {
  /** Unix socket the hypervisor connects to (vhost-user). */
  socket: string;
  /** PATH of the hybrid convention. */
  path: string;
  /** The guest's context identifier, 3 to 2^32-2. */
  cid: number;
  log: Logger;
  limits?: Partial<DeviceLimits>;
  handshake?: Partial<HandshakeLimits>;
  /** A hypervisor has left, after it came. */
  onDisconnected?: () => void;
  /** A listening socket failed; the server has ended. */
  onFailure?: (error: unknown) => void;
}

/** Hosts that connect at the same moment: a unix socket refuses one more with EAGAIN, which few programs expect. */
const HOST_BACKLOG = 1_024;

const DEFAULT_HANDSHAKE: HandshakeLimits = { deadlineMs: 5_000, pending: 1_024 };

/**
 * A vsock device for one virtual machine: a vhost-user backend on one socket, the host's half of
 * hybrid:PATH on the other. One hypervisor at a time; when it leaves, the next one is taken and the
 * device is as new. Everything is released by dispose, both sockets' files too.
 */
export class VsockDeviceServer implements Disposable {
  readonly #options: VsockDeviceServerOptions;
  readonly #limits: DeviceLimits;
  readonly #hypervisors: FdListener;
  readonly #hosts: ConnectServer;
  readonly #device: VsockDevice;
  #session: VhostSession | undefined;
  #closed = false;

  /** Throws OsError when one of the sockets cannot be made (EADDRINUSE: somebody listens there). */
  constructor(options: VsockDeviceServerOptions) {
    this.#options = options;
    const { path, cid, log, socket } = options;
    this.#limits = { ...deviceLimits, ...options.limits };
    this.#hypervisors = listenUnix(socket);
    this.#device = new VsockDevice({
      path,
      cid,
      log,
      limits: this.#limits,
      onPending: () => this.#session?.pending(),
    });
    try {
      this.#hosts = this.#openHosts();
    } catch (error) {
      this.#device[Symbol.dispose]();
      this.#hypervisors.close();
      throw error;
    }
    void this.#serve();
  }

  /** For logs and tests. */
  get figures() {
    return { ...this.#device.figures, connected: this.#session !== undefined };
  }

  #openHosts(): ConnectServer {
    const { path, log, handshake } = this.#options;
    return new ConnectServer({
      transport: `hybrid:${path}`,
      sockets: listenUnix(path, HOST_BACKLOG),
      route: (port) => this.#device.door(port),
      limits: { ...DEFAULT_HANDSHAKE, ...handshake },
      onDropped: (reason) => log.debug('a host was turned away', { error: reason }),
      onFailure: (reason: TransportError) => this.#fail(reason),
    });
  }

  async #serve(): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#serveNext();
      } catch (error) {
        if (!this.#closed) this.#fail(error);
        return;
      }
    }
  }

  async #serveNext(): Promise<void> {
    const { cid, log, onDisconnected } = this.#options;
    const fd = await this.#hypervisors.accept();
    log.info('a hypervisor has connected');
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.#session = new VhostSession(fd, {
      cid,
      log,
      device: this.#device,
      limits: this.#limits,
      onEnd: resolve,
    });
    const reason = await promise;
    this.#session = undefined;
    if (reason === undefined) log.info('the hypervisor has left');
    else log.error('the hypervisor broke the vhost-user protocol', { error: reason });
    onDisconnected?.();
  }

  #fail(error: unknown): void {
    this[Symbol.dispose]();
    this.#options.log.error('the vsock device has ended', { error });
    this.#options.onFailure?.(error);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#session?.[Symbol.dispose]();
    this.#session = undefined;
    this.#hosts.close();
    this.#hypervisors.close();
    this.#device[Symbol.dispose]();
  }
}
