import { createInterface } from 'node:readline';
import type { Pod } from '../../test/lab/lab.ts';
import { spawnInPod } from '../../test/lab/traffic/traffic.ts';

/** A load program that runs in a pod. Its lines are kept as text: parsing them can wait until nothing is measured. */
export interface LoadProgram {
  readonly pid: number;
  readonly lines: readonly string[];
  /** Sends SIGTERM and waits for the line that the program prints then, starting with `{`. */
  ask(): Promise<unknown>;
  /** Sends SIGTERM and waits until it has printed its last line and is gone. */
  finish(): Promise<void>;
  /** Kills it and waits until it is gone; no error if it has ended. */
  end(): Promise<void>;
}

/** Starts a program in the pod's cgroup and network namespace. Resolves when it has printed its "ready" line. */
export async function startProgram(pod: Pod, file: string, args: readonly (string | number)[]): Promise<LoadProgram> {
  const child = spawnInPod(pod, [file, ...args.map(String)]);
  const lines: string[] = [];
  let heard: (line: string) => void = () => {};
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const told = (prefix: string) =>
    new Promise<string>((resolve, reject) => {
      heard = (line) => line.startsWith(prefix) && resolve(line);
      child.once('error', reject);
      void ended.then(() => reject(new Error(`${file} ${args.join(' ')} ended with ${child.exitCode}`)));
    });
  if (!child.stdout) throw new Error('no standard output');
  createInterface(child.stdout).on('line', (line) => {
    if (line.startsWith('[')) lines.push(line);
    else heard(line);
  });
  await told('{"ready"');
  return {
    pid: child.pid ?? 0,
    lines,
    async ask() {
      const answer = told('{');
      child.kill('SIGTERM');
      return JSON.parse(await answer);
    },
    async finish() {
      child.kill('SIGTERM');
      await ended;
    },
    async end() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** The lines of a program that prints arrays of numbers. */
export const rows = (program: LoadProgram): number[][] => program.lines.map((line) => JSON.parse(line));
