/**
 * Sends to port 5001 as fast as it may: `source.ts tcp HOST CONNECTIONS` or `source.ts udp HOST BYTES PACKETS_PER_SECOND`.
 * Prints a JSON line when it has connected and one for each connection that breaks. Run by traffic.ts inside a pod.
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

const [kind, host = '', first, second] = process.argv.slice(2);
if (kind === 'tcp') sendStreams(host, Number(first));
else flood(host, Number(first), Number(second));

function sendStreams(host: string, count: number): void {
  const chunk = Buffer.alloc(128 * 1024);
  let connected = 0;
  for (let i = 0; i < count; i++) {
    const socket = connect(5001, host);
    const write = () => {
      while (socket.write(chunk));
    };
    socket.on('connect', () => {
      if (++connected === count) console.log(JSON.stringify({ ready: true }));
      write();
    });
    socket.on('drain', write);
    socket.on('close', () => console.log(JSON.stringify({ broken: i })));
    socket.on('error', (error) => console.log(JSON.stringify({ error: error.message })));
  }
}

/** Every 2 ms as many datagrams as are due. */
function flood(host: string, size: number, perSecond: number): void {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const datagram = Buffer.alloc(size);
  socket.on('error', () => {});
  socket.connect(5001, host, () => {
    console.log(JSON.stringify({ ready: true }));
    const start = performance.now();
    let sent = 0;
    setInterval(() => {
      const due = ((performance.now() - start) * perSecond) / 1000;
      for (; sent < due; sent++) socket.send(datagram, () => {});
    }, 2);
  });
}
