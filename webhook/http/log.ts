import { pino } from 'pino';

/** Takes lines, each with fields for programs and a message for people. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

// At level debug there is a line for each admission, and a write for each would cost a large part of its processor
// time.
const batchBytes = 4096;
// The lines of a quiet webhook appear soon. Each flush wakes the process, whether there are lines or not.
const flushMs = 1_000;
// Memory is bounded, also where the collector of the lines is slower than they come.
const heldBytes = 1024 * 1024;

/**
 * Builds the log on standard output: lines of JSON, written several at a time, and the last ones when the process ends
 * by itself.
 * @param level the lowest level that is written, in pino's words
 * @param onLost called for each line that is given up because nothing takes them
 */
export function createLog(level: string, onLost: () => void) {
  const output = pino.destination({
    sync: false,
    minLength: batchBytes,
    maxLength: heldBytes,
    periodicFlush: flushMs,
  });
  output.on('drop', onLost);
  return pino({ base: null, level }, output);
}
