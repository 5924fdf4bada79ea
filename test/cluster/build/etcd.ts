import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandContext } from '../process/command.ts';
import { type Cache, cached, sourceOf } from './cache.ts';
import { openApt } from './debian.ts';

/** Fetches Debian's etcd and returns the program's file name. It is unpacked, not installed: that would start a service. */
export async function fetchEtcd(cache: Cache, context: CommandContext): Promise<string> {
  const { directory } = await cached(
    cache,
    'etcd',
    [await sourceOf(import.meta.url)],
    async (draft) => {
      const lists = join(draft, 'apt');
      const apt = await openApt('bookworm', lists, context);
      await apt.unpack(['etcd-server'], draft);
      await rm(lists, { recursive: true });
      await rename(join(draft, 'usr/bin/etcd'), join(draft, 'etcd'));
    },
    context.signal,
  );
  return join(directory, 'etcd');
}
