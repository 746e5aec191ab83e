/**
 * The floor of any bridge in Node: reads frames, answers each with a reply of the same id and the
 * payload of a success, decodes nothing. Dials PATH_port like an agent.
 *
 *   node echo-server.ts PATH
 */
import net from 'node:net';

const REPLY = Buffer.from('{"Result":0,"Version":4}');
const path = process.argv[2] ?? '';
const socket = net.connect(`${path}_${0x40000000}`);
let rest: Buffer = Buffer.alloc(0);

socket.on('data', (chunk: Buffer) => {
  let data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
  const replies: Buffer[] = [];
  while (data.length >= 16) {
    const size = data.readUInt32LE(4);
    if (data.length < size) break;
    const header = Buffer.alloc(16);
    header.writeUInt32LE(((data.readUInt32LE(0) & 0x0fffffff) | 0x20000000) >>> 0, 0);
    header.writeUInt32LE(16 + REPLY.length, 4);
    data.copy(header, 8, 8, 16);
    replies.push(header, REPLY);
    data = data.subarray(size);
  }
  rest = data;
  if (replies.length > 0) socket.write(Buffer.concat(replies));
});
socket.on('close', () => process.exit(0));
