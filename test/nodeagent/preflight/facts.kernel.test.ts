import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { gatherFacts } from '../../../nodeagent/preflight/facts.ts';
import { podrate } from '../../cli/podrate.ts';

let bpffs: string;
let pins: string;
const refusalOf = async (pinDirectory: string) => {
  const places = { pinDirectory, objectFile: '', cgroupRoot: undefined, marker: { check: () => undefined } };
  const { pinsOnBpffs, pinRefusal } = await gatherFacts({ ...places, tryLoad: false });
  return [pinsOnBpffs, pinRefusal];
};

beforeEach(async () => {
  bpffs = await mkdtemp(join(tmpdir(), 'podrate-bpffs-'));
  await execa('mount', ['-t', 'bpf', 'bpf', bpffs]);
  pins = join(bpffs, 'podrate');
});
afterEach(async () => {
  await execa('umount', [bpffs]);
  await rm(bpffs, { recursive: true });
});

test('a BPF file system that can be written stays as it was', async () => {
  const before = await readdir(bpffs);
  expect(await refusalOf(join(pins, 'deeper'))).toEqual([true, undefined]);
  expect(await readdir(bpffs)).toEqual(before);
  await mkdir(pins);
  expect(await refusalOf(pins)).toEqual([true, undefined]);
  expect(await readdir(pins)).toEqual([]);
});

test('a read-only BPF file system is refused, and podrate doctor says how to mount it', async () => {
  await execa('mount', ['-o', 'remount,ro', bpffs]);
  expect(await refusalOf(pins)).toEqual([true, 'EROFS']);
  const { status, out } = await podrate(['doctor', '--pin-dir', pins]);
  expect(status).toBe(3);
  expect(out).toContain(`FAILED   ${pins} cannot be written (EROFS)\n         mount it writable: mount -o remount,rw`);
});
