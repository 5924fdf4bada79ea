import { pino } from 'pino';

/** Takes lines, each with fields for programs and a message for people. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/**
 * Builds the log on standard output: lines of JSON. Each is written before the program goes on, so that none is lost
 * when the process ends, however it ends.
 * @param level the lowest level that is written, in pino's words
 */
export function createLog(level: string) {
  return pino({ base: null, level }, pino.destination({ sync: true }));
}
