/** Another mutating webhook than podrate's: sets the label `rate` of every pod that it is shown, or removes it. Arguments: port, TLS folder, rate. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { join } from 'node:path';
import process from 'node:process';

const [port, folder = '', rate] = process.argv.slice(2);
const [cert, key] = await Promise.all(['tls.crt', 'tls.key'].map((file) => readFile(join(folder, file))));

const server = createServer({ cert: cert as Buffer, key: key as Buffer }, async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const review = JSON.parse(Buffer.concat(chunks).toString());
  const change = rate === undefined ? { op: 'remove' } : { op: 'add', value: rate };
  const operations = [{ ...change, path: '/metadata/labels/rate' }];
  const patch = Buffer.from(JSON.stringify(operations)).toString('base64');
  const answer = { uid: review.request.uid, allowed: true, patchType: 'JSONPatch', patch };
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ apiVersion: review.apiVersion, kind: review.kind, response: answer }));
});
server.listen(Number(port), () => process.stdout.write('ready\n'));
