import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa, execaSync } from 'execa';

/** A directory with network namespaces, as a container runtime has one. */
export interface NetnsDirectory {
  readonly path: string;
  /** Makes a namespace with a device eth0 that has an address. @returns its file */
  make(name: string, address: string): Promise<string>;
  remove(name: string): void;
  /** Removes all of it. */
  end(): Promise<void>;
}

/** Makes an empty one. */
export async function makeNetnsDirectory(): Promise<NetnsDirectory> {
  const path = await mkdtemp(join(tmpdir(), 'podrate-netns-'));
  const names = new Set<string>();
  const remove = (name: string) => {
    if (!names.delete(name)) return;
    execaSync('umount', [join(path, name)]);
    rmSync(join(path, name));
  };
  return {
    path,
    remove,
    async make(name, address) {
      const file = join(path, name);
      await writeFile(file, '');
      names.add(name);
      const script = `
        ip link add eth0 type veth peer name peer0
        ip address add ${address}/24 dev eth0
        ip link set peer0 up
        ip link set eth0 up`;
      await execa('unshare', [`--net=${file}`, 'sh', '-e', '-c', script]);
      return file;
    },
    async end() {
      for (const name of [...names]) remove(name);
      await rm(path, { recursive: true });
    },
  };
}

/** Runs a command in a namespace. */
export async function inNetns(file: string, ...command: string[]): Promise<string> {
  return (await execa('nsenter', [`--net=${file}`, ...command])).stdout;
}
