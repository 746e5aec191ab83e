import type { Connection, PortPair } from './connection.ts';

/** First port of the host's side of connections that a host makes; counts like Firecracker's. */
const FIRST_SOURCE_PORT = 0x4000_0000;

/** The connections of a device, by their two ports, and those the guest is done with and the host is not. */
export class Connections {
  readonly #limit: number;
  readonly #byPorts = new Map<string, Connection>();
  readonly #draining = new Set<Connection>();
  #nextSource = FIRST_SOURCE_PORT;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get full(): boolean {
    return this.#byPorts.size + this.#draining.size >= this.#limit;
  }

  get size(): number {
    return this.#byPorts.size;
  }

  /** Connections of the guest's past whose data the host has not read yet. */
  get draining(): number {
    return this.#draining.size;
  }

  find(ports: PortPair): Connection | undefined {
    return this.#byPorts.get(keyOf(ports));
  }

  add(connection: Connection): void {
    this.#byPorts.set(keyOf(connection.ports), connection);
  }

  has(connection: Connection): boolean {
    return this.#byPorts.get(keyOf(connection.ports)) === connection;
  }

  /** The ports are free from now on; the connection stays counted until it is finished. */
  retire(connection: Connection): void {
    if (this.has(connection)) this.#byPorts.delete(keyOf(connection.ports));
    this.#draining.add(connection);
  }

  finished(connection: Connection): void {
    this.#draining.delete(connection);
  }

  /** A port of the host's side that this port of the guest is not connected to. */
  sourcePort(guestPort: number): number {
    for (;;) {
      const hostPort = this.#nextSource;
      this.#nextSource = hostPort === 0x7fff_ffff ? FIRST_SOURCE_PORT : hostPort + 1;
      if (this.find({ guestPort, hostPort }) === undefined) return hostPort;
    }
  }

  /** A copy: what is done to them changes the tables. */
  current(): Connection[] {
    return [...this.#byPorts.values()];
  }

  /** All of them, the draining ones too. */
  all(): Connection[] {
    return [...this.#byPorts.values(), ...this.#draining];
  }
}

function keyOf({ guestPort, hostPort }: PortPair): string {
  return `${guestPort}:${hostPort}`;
}
