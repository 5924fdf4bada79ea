/**
 * Receives on TCP and UDP port 5001 and prints one JSON line every 100 ms: bytes of all connections so far, of each one,
 * and datagrams. Run by traffic.ts inside a pod.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const connections: number[] = [];
let datagrams = 0;
let datagramBytes = 0;

createServer((socket) => {
  const index = connections.push(0) - 1;
  socket.on('data', (chunk) => {
    connections[index] = (connections[index] ?? 0) + chunk.length;
  });
  socket.on('error', () => {});
}).listen(5001, '::', () => console.log(JSON.stringify({ ready: true })));

const udp = createSocket('udp6');
udp.on('message', (message) => {
  datagrams++;
  datagramBytes += message.length;
});
udp.bind(5001, '::');

setInterval(() => {
  console.log(JSON.stringify({ atMs: performance.now(), connections, datagrams, datagramBytes }));
}, 100);
