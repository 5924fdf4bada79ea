/** Logs as the webhook does, and ends. Usage: log-program.ts exit|throw|kill. */
import process from 'node:process';
import { createLog } from '../../../webhook/http/log.ts';

const log = createLog('info');
const [way] = process.argv.slice(2);
for (const number of [1, 2, 3]) log.info({ number }, 'line');

if (way === 'exit') process.exit(1);
if (way === 'kill') process.kill(process.pid, 'SIGKILL');
throw new Error('broken');
