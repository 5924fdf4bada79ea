import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

/** Collects the lines of a program's log, which are JSON. @returns the array that they are added to */
export function jsonLines(output: Readable, lines: Record<string, unknown>[] = []): Record<string, unknown>[] {
  // Not by chunk: a busy machine may cut one in the middle of a line.
  createInterface({ input: output }).on('line', (line) => {
    if (line !== '') lines.push(JSON.parse(line));
  });
  return lines;
}
