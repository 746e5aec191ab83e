import { expect, it } from 'vitest';
import { PortAllocator } from './port-allocator.ts';

it('hands out stdio ports counting up from the first', () => {
  const ports = new PortAllocator();
  expect([ports.next(), ports.next(), ports.next()]).toEqual([0x40000001, 0x40000002, 0x40000003]);
});

it('never starts again: after the last port it fails', () => {
  const ports = new PortAllocator(0xfffffffd);
  expect([ports.next(), ports.next()]).toEqual([0xfffffffd, 0xfffffffe]);
  expect(() => ports.next()).toThrow('every stdio port has been used');
  expect(() => ports.next()).toThrow('every stdio port has been used');
});
