import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { MemoryStore } from '../support/memory-store.ts';
import { useVmLab } from '../support/vm-lab.ts';

const suite = useVmLab();

/** A store whose socket is full until it is told otherwise. */
class SlowStore extends MemoryStore {
  #asked = Promise.withResolvers<void>();
  #taken = Promise.withResolvers<void>();

  override async flush(): Promise<void> {
    this.#asked.resolve();
    await this.#taken.promise;
  }

  async asked(): Promise<void> {
    await this.#asked.promise;
    await turn();
  }

  takeAll(): void {
    this.#taken.resolve();
    this.#asked = Promise.withResolvers();
    this.#taken = Promise.withResolvers();
  }
}

test('nobody is told of a process before its streams are kept for a next agent', async () => {
  using store = new SlowStore();
  await suite.lab.open(undefined, store);
  const { management } = suite.lab;
  const told: string[] = [];
  const telling = async (what: string, request: Promise<unknown>): Promise<void> => {
    const over = request.then(() => told.push(what));
    await store.asked();
    expect(told).not.toContain(what);
    store.takeAll();
    await over;
  };
  const spec = suite.lab.spec({ args: ['sleep', '1000'], terminal: true });
  await telling('create', management.create({ id: 'c', spec }));
  await telling('start', management.start('c'));
  const process = { args: ['sleep', '1000'] };
  await telling('exec', management.exec('c', { processId: 'p', process }));
  expect(told).toEqual(['create', 'start', 'exec']);
  await management.delete('c', { force: true });
});
