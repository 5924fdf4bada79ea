import { pino } from 'pino';

/** Where lines go, each with fields for programs and a message for people. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

// There is a line for each admission, and a write for each line would cost a large part of an admission's processor time.
const batchBytes = 4096;
// Nobody should have to wait for the lines of a quiet webhook.
const flushMs = 200;
// Memory is bounded, also where whoever collects the lines is slower than they come.
const heldBytes = 1024 * 1024;

/**
 * Makes the log on standard output: lines of JSON, written several at a time, and the last ones when the process ends by itself.
 * @param level the least that is written, in pino's words
 * @param onLost called for each line that is given up because nobody takes them
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
