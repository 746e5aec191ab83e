import { expect, test } from 'vitest';
import { silentLogger } from '../log/logger.ts';
import { NotificationQueue, type SendFrame } from './notifications.ts';

type Done = Parameters<SendFrame>[1];

/** A connection of which the test decides when the kernel has taken a frame. */
class Connection {
  readonly sent: { text: string; done: Done }[] = [];
  readonly send: SendFrame = (frame, done) => {
    this.sent.push({ text: frame.toString(), done });
  };
}

const push = (queue: NotificationQueue, text: string): void => queue.push(text, Buffer.from(text));

test('what a lost connection gives back late goes out over the one that has come since', () => {
  const queue = new NotificationQueue(10, silentLogger);
  const [first, second] = [new Connection(), new Connection()];
  queue.attach(first.send);
  push(queue, 'a');
  queue.attach(second.send);
  expect(second.sent).toEqual([]);
  first.sent[0]?.done(new Error('reset'));
  expect(second.sent.map(({ text }) => text)).toEqual(['a']);
  second.sent[0]?.done();
  expect(queue.size).toBe(0);
});

test('what a lost connection has taken does not go out again', () => {
  const queue = new NotificationQueue(10, silentLogger);
  const [first, second] = [new Connection(), new Connection()];
  queue.attach(first.send);
  push(queue, 'a');
  queue.attach(second.send);
  first.sent[0]?.done();
  expect(second.sent).toEqual([]);
  expect(queue.size).toBe(0);
});

test('a connection that fails a frame is not offered it again', () => {
  const queue = new NotificationQueue(10, silentLogger);
  const first = new Connection();
  queue.attach(first.send);
  push(queue, 'a');
  first.sent[0]?.done(new Error('reset'));
  expect(first.sent).toHaveLength(1);
  expect(queue.size).toBe(1);
});

test('what is given up for want of room need not be remembered by anybody', () => {
  const queue = new NotificationQueue(1, silentLogger);
  const over: string[] = [];
  for (const text of ['a', 'b']) queue.push(text, Buffer.from(text), () => over.push(text));
  expect(over).toEqual(['a']);
  expect(queue.size).toBe(1);
});
