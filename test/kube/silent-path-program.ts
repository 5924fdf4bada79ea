/**
 * A way to a TCP server that can go silent, as a program: arguments are the server's host and port, and the port where the way begins.
 * Writes a line when it is open. A line on its input, `silence` or `restore`, changes it; the end of the input ends it.
 */
import process from 'node:process';
import { createInterface } from 'node:readline';
import { openSilentPath } from './silent-path.ts';

const [host = '', target, port] = process.argv.slice(2);
const path = await openSilentPath({ host, port: Number(target) }, Number(port));
console.log('open');
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'silence') path.silence();
  if (line === 'restore') path.restore();
  console.log(line);
}
await path.close();
