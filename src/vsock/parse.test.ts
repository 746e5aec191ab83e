import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createTransport, parseTransport, TransportSyntaxError } from './parse.ts';

describe('the value of -transport', () => {
  it.each(['vsock', 'stdio', 'dev-null'])('takes %s', (text) => {
    expect(parseTransport(text)).toEqual({ kind: text });
    expect(createTransport(parseTransport(text)).name).toBe(text);
  });

  it('takes hybrid with a path, which may contain colons', () => {
    expect(parseTransport('hybrid:/run/a:b.sock')).toEqual({
      kind: 'hybrid',
      path: '/run/a:b.sock',
    });
    expect(createTransport(parseTransport('hybrid:/run/v')).name).toBe('hybrid:/run/v');
  });

  it('takes a relative path from the working directory', () => {
    expect(parseTransport('hybrid:v.sock')).toEqual({ kind: 'hybrid', path: resolve('v.sock') });
  });

  it.each([
    '',
    'hybrid',
    'VSOCK',
    'vsock ',
    'unix:/x',
    'hybrid/:x',
  ])('refuses %j and lists the choices', (text) => {
    expect(() => parseTransport(text)).toThrow(TransportSyntaxError);
    expect(() => parseTransport(text)).toThrow('vsock | hybrid:PATH | stdio | dev-null');
  });

  it.each([
    'hybrid:',
    'hybrid:/run/',
    'hybrid:/a\0b',
  ])('refuses %j, which names no file', (text) => {
    expect(() => parseTransport(text)).toThrow('path of a unix socket');
  });
});
