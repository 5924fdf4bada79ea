import { defineConfig } from 'vitest/config';

const kernel = 'test/**/*.kernel.test.ts';
const datapath = 'test/bpf/**/*.kernel.test.ts';
const controlPlane = 'test/controlplane/**/*.test.ts';
const node = 'test/node/**/*.test.ts';

// Packages, the compiled shaper, bpffs.
const globalSetup = 'test/levels/kernel-setup.ts';

// One project per test level. The levels that load the kernel or start a cluster run one file at a time: they share the
// machine's cgroups, bpffs and network namespaces.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [kernel, controlPlane, node],
          // Some start programs or make RSA keys, which takes a busy machine seconds.
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'kernel',
          include: [kernel],
          exclude: [datapath],
          globalSetup,
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'datapath',
          include: [datapath],
          globalSetup,
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'controlplane',
          include: [controlPlane],
          globalSetup,
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 1_800_000,
        },
      },
      {
        test: {
          name: 'node',
          include: [node],
          globalSetup,
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 1_800_000,
        },
      },
    ],
  },
});
