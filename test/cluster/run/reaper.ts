/**
 * Started beside every cluster, in a session of its own, with a pipe from the owner as standard input. When the pipe closes,
 * the owner has ended, by whatever means (Ctrl-C, SIGKILL, a crash): what it left behind is cleaned up, unless the cluster is
 * meant to stay.
 */
import { cleanUp } from './cleanup.ts';
import { readState } from './state.ts';

process.stdin.resume();
process.stdin.on('error', () => {});
process.stdin.once('close', async () => {
  const state = await readState();
  if (state !== undefined && !state.kept && state.directory === process.argv[2]) await cleanUp(state);
});
