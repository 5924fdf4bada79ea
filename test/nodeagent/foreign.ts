import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

/** A program of somebody else, pinned. */
export interface Foreign {
  /** Attaches it to a cgroup's egress hook. @param flags `multi`, `override` or none */
  attach(cgroup: string, ...flags: string[]): Promise<void>;
  detach(cgroup: string): Promise<void>;
  end(): Promise<void>;
}

const source = `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("cgroup_skb/egress") int somebody_elses(struct __sk_buff *skb) { return 1; }
char LICENSE[] SEC("license") = "GPL";
`;

/** Compiles and pins a program that lets everything pass. */
export async function loadForeign(pin: string): Promise<Foreign> {
  const directory = await mkdtemp(join(tmpdir(), 'podrate-foreign-'));
  try {
    await writeFile(join(directory, 'foreign.bpf.c'), source);
    const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
    await execa('clang', ['-O2', '-target', 'bpf', '-I', include, '-c', 'foreign.bpf.c', '-o', 'foreign.bpf.o'], {
      cwd: directory,
    });
    await execa('bpftool', ['prog', 'load', join(directory, 'foreign.bpf.o'), pin]);
  } finally {
    await rm(directory, { recursive: true });
  }
  return {
    async attach(cgroup, ...flags) {
      await execa('bpftool', ['cgroup', 'attach', cgroup, 'egress', 'pinned', pin, ...flags]);
    },
    async detach(cgroup) {
      await execa('bpftool', ['cgroup', 'detach', cgroup, 'egress', 'pinned', pin]);
    },
    async end() {
      await rm(pin, { force: true });
    },
  };
}
