import { fstatSync } from 'node:fs';
import type { Fd } from '../os/fd.ts';
import { openNetworkNamespace, RouteSocket } from '../os/netlink.ts';
import type { Ground } from './steps.ts';

export interface OpenGround extends Ground, Disposable {
  /** The namespace is the agent's own: nothing has to be moved. */
  readonly atHome: boolean;
}

/** What steps need, for a while: its sockets keep the namespace alive. Throws OsError. */
export function openGround(namespace: Fd, index: number): OpenGround {
  using stack = new DisposableStack();
  const homeNamespace = stack.use(openNetworkNamespace('self'));
  const home = stack.use(new RouteSocket());
  const atHome = sameFile(namespace, homeNamespace);
  const socket = atHome ? home : stack.use(new RouteSocket(namespace));
  const owned = stack.move();
  return {
    socket,
    namespace,
    home,
    homeNamespace,
    index,
    atHome,
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** Whether it is the agent's own network namespace. */
export function isHome(namespace: Fd): boolean {
  using own = openNetworkNamespace('self');
  return sameFile(namespace, own);
}

function sameFile(one: Fd, other: Fd): boolean {
  const [a, b] = [fstatSync(one.raw), fstatSync(other.raw)];
  return a.dev === b.dev && a.ino === b.ino;
}
