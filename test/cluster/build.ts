import type { Cache } from './build/cache.ts';
import { fetchEtcd } from './build/etcd.ts';
import { buildNative } from './build/native.ts';
import { installPackages } from './build/packages.ts';
import { buildPrograms } from './build/programs.ts';
import { buildBaseImage } from './images/base-image.ts';
import { buildImagesDisk } from './images/images-disk.ts';
import { buildProductImage } from './images/product-image.ts';
import { buildBusyboxImage, buildPauseImage } from './images/small-images.ts';
import { buildInitramfs, nodeInitramfs } from './machine/initramfs.ts';
import { fetchKernel, type Kernel, type KernelVersion } from './machine/kernel.ts';
import { buildRootfs, nodeRootfs } from './machine/rootfs.ts';
import { buildSystemDisk } from './machine/system-disk.ts';
import type { Step } from './run/steps.ts';

/** An image that a node has from the start: one of the two that are built here, or a tar file with an OCI or docker layout. */
export type ImageSource = 'podrate' | 'busybox' | (string & {});

/** Files of the control plane. */
export interface ControlPlaneParts {
  programs: string;
  etcd: string;
}

/** Files of a node. */
export interface NodeParts {
  kernel: Kernel;
  initramfs: string;
  systemDisk: string;
  imagesDisk: string;
  /** Directory with node-exec-client. */
  native: string;
}

/** Builds or takes from the cache what the control plane needs. The promises are ready on their own. */
export function buildControlPlane(cache: Cache, step: Step): Promise<ControlPlaneParts> {
  return all({
    programs: step('kubernetes', 'Kubernetes', (context, report) => buildPrograms(cache, context, report)),
    etcd: step('packages', 'Debian packages', async (context, report) => {
      await installPackages(['controlplane'], context, report);
      report('etcd');
      return fetchEtcd(cache, context);
    }),
  });
}

/** Builds or takes from the cache what a node needs; what does not depend on each other is built side by side. */
export async function buildNode(
  cache: Cache,
  step: Step,
  controlPlane: Promise<ControlPlaneParts>,
  {
    kernel: version = '6.1',
    images = ['podrate', 'busybox'],
  }: { kernel?: KernelVersion; images?: readonly ImageSource[] },
): Promise<NodeParts> {
  await step('node packages', 'Debian packages', (context, report) => installPackages(['node'], context, report));
  const kernel = step('kernel', `Linux ${version}`, (context, report) => fetchKernel(cache, version, context, report));
  const native = step('native', 'small C programs', (context) => buildNative(cache, context));
  const rootfs = step('rootfs', 'Debian', (context, report) => buildRootfs(cache, nodeRootfs, context, report));
  const layouts = step('images', 'images', async (context, report) => {
    const build = (image: ImageSource): Promise<string> => {
      if (image === 'busybox') return buildBusyboxImage(cache, context);
      if (image !== 'podrate') return Promise.resolve(image);
      return buildProductImage(cache, () => buildBaseImage(cache, context, report), context, report);
    };
    return Promise.all([native.then((directory) => buildPauseImage(cache, directory, context)), ...images.map(build)]);
  });
  const programs = controlPlane.then((parts) => parts.programs);
  return all({
    kernel,
    native,
    initramfs: kernel.then((built) =>
      step('initramfs', 'first file system', (context) => buildInitramfs(cache, nodeInitramfs, built, context)),
    ),
    systemDisk: all({ kernel, native, rootfs, programs }).then((parts) =>
      step('system disk', 'system disk', (context, report) => buildSystemDisk(cache, parts, context, report)),
    ),
    imagesDisk: all({ programs, images: layouts }).then((parts) =>
      step('images disk', 'images disk', (context, report) => buildImagesDisk(cache, parts, context, report)),
    ),
  });
}

async function all<T extends Record<string, unknown>>(parts: { [K in keyof T]: Promise<T[K]> | T[K] }): Promise<T> {
  const entries = Object.entries(parts).map(async ([name, part]) => [name, await part] as const);
  return Object.fromEntries(await Promise.all(entries)) as T;
}
