import { defineConfig } from 'vitest/config';

const kernel = 'test/**/*.kernel.test.ts';
const datapath = 'test/**/*.datapath.test.ts';
const controlPlane = 'test/controlplane/**/*.test.ts';
const node = 'test/node/**/*.test.ts';
const kernels = 'test/kernels/**/*.machine.test.ts';

/**
 * A level that loads the kernel or starts a cluster: one file at a time, because its files share the machine's cgroups,
 * bpffs and network namespaces.
 */
const onMachine = (name: string, include: string, testTimeout: number, hookTimeout: number) => ({
  test: {
    ...{ name, include: [include], testTimeout, hookTimeout },
    fileParallelism: false,
    // Packages, the compiled shaper, bpffs.
    globalSetup: 'test/levels/kernel-setup.ts',
  },
});

/** A level that measures traffic: a busy machine spoils one measurement and seldom three in a row; a fault spoils each. */
const measured = (project: ReturnType<typeof onMachine>) => ({ test: { ...project.test, retry: 2 } });

// One project per test level.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [kernel, datapath, controlPlane, node, kernels],
          // Some start programs or make RSA keys, which takes a busy machine seconds.
          testTimeout: 30_000,
        },
      },
      onMachine('kernel', kernel, 60_000, 120_000),
      measured(onMachine('datapath', datapath, 60_000, 120_000)),
      onMachine('controlplane', controlPlane, 120_000, 1_800_000),
      onMachine('node', node, 900_000, 3_600_000),
      onMachine('kernels', kernels, 60_000, 1_800_000),
    ],
  },
});
