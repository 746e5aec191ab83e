import { constants } from 'node:os';
import { expect, test } from 'vitest';
import { check, errnoName, hasCode, OsError } from './errors.ts';

test('an errno with two names has the one that Node uses', () => {
  expect(errnoName(constants.errno.EWOULDBLOCK)).toBe('EAGAIN');
  expect(errnoName(constants.errno.EOPNOTSUPP)).toBe('ENOTSUP');
  expect(errnoName(100_000)).toBe('errno 100000');
});

test('a negative result becomes an error with operation, detail and name', () => {
  expect(check('read', 7)).toBe(7);
  expect(() => check('connect', -constants.errno.ECONNREFUSED, '/run/x')).toThrow(
    'connect /run/x: ECONNREFUSED',
  );
  expect(hasCode(new OsError('x', constants.errno.ENOENT), 'ENOENT')).toBe(true);
  expect(hasCode({ code: 'ENOENT' }, 'ENOENT')).toBe(false);
});
