import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

/**
 * A 9p server on a unix socket: for each connection one diod (Debian: diod) that gets it as its
 * standard streams.
 */
export class NinePServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #children = new Set<ChildProcess>();
  readonly #shared: string;

  /** `shared`: the directory, which is also the share's name. Its files must be open to "nobody". */
  constructor(path: string, shared: string) {
    this.#shared = shared;
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.#serve(socket));
    this.#server.listen(path);
  }

  #serve(socket: Socket): void {
    const streams = ['--rfdno', '0', '--wfdno', '1'];
    const child = spawn('diod', ['-f', '-n', '-e', this.#shared, '-L', 'stderr', ...streams], {
      stdio: [socket, socket, 'ignore'],
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    // It has its own now.
    socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const child of this.#children) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
  }
}
