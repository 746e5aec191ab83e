import { expect, it } from 'vitest';
import { Credit } from './credit.ts';

const WRAP = 0xffff_ff00;

it('gives room for what the guest can hold less what is on the way', () => {
  const credit = new Credit(1000);
  expect(credit.room).toBe(0);
  credit.heard(500, 0);
  credit.sent(200);
  expect(credit.room).toBe(300);
  credit.heard(500, 150);
  expect(credit.room).toBe(450);
  credit.heard(10, 150);
  expect(credit.room).toBe(0);
});

it('counts on when the counters wrap', () => {
  const credit = new Credit(4096);
  credit.sent(WRAP);
  credit.heard(4096, WRAP);
  credit.sent(0x200);
  expect(credit.room).toBe(4096 - 0x200);
  credit.heard(4096, 0x100);
  expect(credit.room).toBe(4096);
  for (let count = 0; count < 3; count++) {
    expect(credit.received(4096)).toBe(true);
    credit.forwarded(0x8000_0000);
    credit.forwarded(0x8000_0000);
    credit.forwarded(4096);
    expect(credit.received(4097)).toBe(false);
  }
});

it('takes no more from the guest than it has offered', () => {
  const credit = new Credit(100);
  expect(credit.received(100)).toBe(true);
  expect(credit.received(1)).toBe(false);
  credit.forwarded(1);
  expect(credit.received(1)).toBe(true);
});

it.each([
  1, 2, 100, 4096, 262_144, 1_000_000,
])('always tells of room before a guest with a buffer of %i bytes has used up its own', (own) => {
  const credit = new Credit(262_144);
  credit.heard(own, 0);
  // What a guest that caps itself at its own buffer can have on the way when it stops.
  const stopped = Math.min(own, 262_144);
  credit.received(stopped);
  credit.forwarded(stopped);
  expect(credit.announcementDue).toBe(true);
  credit.announce();
  expect(credit.announcementDue).toBe(false);
});
