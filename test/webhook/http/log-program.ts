/** Logs as the webhook does. Usage: log-program.ts exit|throw|stay|flood; flood writes what happened to standard error when it is over. */
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '../../../webhook/http/log.ts';

let lost = 0;
const log = createLog('info', () => {
  lost += 1;
});
const [way] = process.argv.slice(2);
for (const number of [1, 2, 3]) log.info({ number }, 'line');

if (way === 'exit') process.exit(1);
if (way === 'throw') throw new Error('broken');
if (way === 'flood') {
  const text = 'x'.repeat(1_000);
  const before = process.memoryUsage().rss;
  for (let batch = 0; batch < 1_000; batch += 1) {
    for (let line = 0; line < 100; line += 1) log.info({ text }, 'flood');
    await sleep(0);
  }
  const grownMegabytes = (process.memoryUsage().rss - before) / 1e6;
  process.stderr.write(`${JSON.stringify({ lost, grownMegabytes })}\n`);
  process.stdin.once('data', () => {
    log.info({}, 'later');
    process.exit(0);
  });
}
if (way === 'stay') process.stdin.resume();
