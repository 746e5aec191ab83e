import { expect, test } from 'vitest';
import { hostsFile, resolvConf } from './etc-files.ts';

test('/etc/hosts as guests have it', () => {
  expect(hostsFile('box')).toBe(`127.0.0.1 localhost
127.0.0.1 box

# The following lines are desirable for IPv6 capable hosts
::1     ip6-localhost ip6-loopback
fe00::0 ip6-localnet
ff00::0 ip6-mcastprefix
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
`);
});

test('a host name with a domain has its first label as an alias', () => {
  expect(hostsFile('box.example.org').split('\n')[1]).toBe('127.0.0.1 box.example.org box');
});

test('/etc/resolv.conf is empty without servers and domains', () => {
  expect(resolvConf({ searches: [], servers: [] })).toBe('');
  expect(resolvConf({ searches: [''], servers: [' '] })).toBe('');
});

test('/etc/resolv.conf takes six domains on one line and each server on its own', () => {
  const searches = ['a', 'b', 'c', 'd', 'e', 'f'];
  expect(resolvConf({ searches, servers: ['1.1.1.1', '8.8.8.8'] })).toBe(
    'search a b c d e f\nnameserver 1.1.1.1\nnameserver 8.8.8.8\n',
  );
});
