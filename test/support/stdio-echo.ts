/**
 * A child that has the bridge on its descriptors 0 and 1: sends back what it reads until the end,
 * then "bye". Prints in between, as a library might, which must not get into the stream.
 */
import { spawnSync } from 'node:child_process';
import { BRIDGE_PORT } from '../../src/vsock/ports.ts';
import { StdioTransport } from '../../src/vsock/stdio.ts';

const stream = (await new StdioTransport().dial(BRIDGE_PORT)).stream();
console.log('a stray print');
spawnSync('sh', ['-c', 'echo a stray child; cat'], { stdio: 'inherit' });
stream.on('end', () => stream.end('bye'));
stream.pipe(stream, { end: false });
