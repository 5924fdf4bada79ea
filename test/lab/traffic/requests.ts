/**
 * Short connections, one for each request: `requests.ts serve` answers on port 5002, `requests.ts HOST CLIENTS UP DOWN` has
 * so many clients ask one after the other, each sending UP bytes and receiving DOWN. Prints a JSON line for each request.
 * Run by traffic.ts inside a pod.
 */
import { connect, createServer } from 'node:net';

const [host = '', clients, up, down] = process.argv.slice(2);
const port = 5002;
const headerBytes = 8;
if (host === 'serve') serve();
else for (let client = 0; client < Number(clients); client++) request(client === 0);

function serve(): void {
  createServer((socket) => {
    let header = Buffer.alloc(0);
    let left = -1;
    socket.on('data', (chunk) => {
      let bytes = chunk;
      if (left < 0) {
        header = Buffer.concat([header, chunk]);
        if (header.length < headerBytes) return;
        left = header.readUInt32BE(0);
        bytes = header.subarray(headerBytes);
      }
      left -= bytes.length;
      if (left === 0) socket.end(Buffer.alloc(header.readUInt32BE(4)));
    });
    socket.on('error', () => {});
  }).listen({ port, host: '::', backlog: 512 }, () => console.log(JSON.stringify({ ready: true })));
}

function request(first = false): void {
  const message = Buffer.alloc(headerBytes + Number(up));
  message.writeUInt32BE(Number(up), 0);
  message.writeUInt32BE(Number(down), 4);
  const start = performance.now();
  let received = 0;
  const socket = connect(port, host, () => socket.write(message));
  if (first) console.log(JSON.stringify({ ready: true }));
  socket.on('data', (chunk) => {
    received += chunk.length;
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    console.log(JSON.stringify({ ms: performance.now() - start, failed: received !== Number(down) }));
    request();
  });
}
