/** What tc says about the queueing disciplines of a namespace's devices. */
import { type ClassRates, classCount, type Leaf, leavesOf } from './queue.ts';

/** The root queueing discipline of a device. */
export interface RootQueue {
  readonly device: string;
  readonly kind: string;
  /** Such as `7064:`; `0:` is one that the kernel gave the device by itself. */
  readonly handle: string;
  /** What the classes of podrate's queue end in; undefined where one lacks its leaf, or where the queue is not podrate's. */
  readonly leaf: Leaf | undefined;
}

interface Printed {
  readonly kind: string;
  readonly handle: string;
  readonly dev: string;
  readonly root?: boolean;
  readonly parent?: string;
}

/** Reads the output of `tc -json qdisc show`, by device. */
export function rootQueues(printed: unknown): Map<string, RootQueue> {
  const all = printed as readonly Printed[];
  const roots = all.filter(({ root }) => root === true);
  return new Map(
    roots.map(({ dev, kind, handle }) => {
      const leaves = leavesOf(handle).map(({ parent, handle: own }) =>
        all.find((one) => one.dev === dev && one.parent === parent && one.handle === own),
      );
      const [first] = leaves;
      const complete = leaves.every((leaf) => leaf !== undefined && leaf.kind === first?.kind);
      return [dev, { device: dev, kind, handle, leaf: complete ? (first?.kind as Leaf) : undefined }];
    }),
  );
}

/** Reads the output of `tc class show` of one device with HTB, which tc 6 does not print as JSON. */
export function htbRates(printed: string): ClassRates {
  const rates: Record<string, { rate: number; ceil: number }> = {};
  for (const line of printed.split('\n')) {
    const found = /^class htb \w+:(\w+) .*\brate (\S+) ceil (\S+)/.exec(line);
    if (found === null) continue;
    const [, minor = '', rate = '', ceil = ''] = found;
    rates[minor] = { rate: bitsOf(rate), ceil: bitsOf(ceil) };
  }
  return rates;
}

/**
 * Reads the output of `tc class show` of several devices, one after the other; tc prints no names.
 * @returns undefined where it is not clear which class is whose, because one has others than podrate's
 */
export function htbRatesOf(printed: string, devices: readonly string[]): Map<string, ClassRates> | undefined {
  const lines = printed.split('\n').filter((line) => line.startsWith('class '));
  const sections = devices.map((_, index) => {
    const part = lines.slice(index * classCount, (index + 1) * classCount);
    return htbRates(part.join('\n'));
  });
  const clear = lines.length === devices.length * classCount;
  if (!clear || sections.some((section) => Object.keys(section).length !== classCount)) return undefined;
  return new Map(devices.map((device, index) => [device, sections[index] as ClassRates]));
}

const units: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12 };

function bitsOf(text: string): number {
  const [, number = '', unit = ''] = /^([\d.]+)([KMGT]?)bit$/.exec(text) ?? [];
  return Math.round(Number(number) * (units[unit] ?? Number.NaN));
}
