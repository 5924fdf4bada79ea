import { type Cache, userCache } from './cache.ts';

/** The cache that everything here uses unless told otherwise; XDG_CACHE_HOME moves it. */
export function defaultCache(): Cache {
  return userCache(process.env.XDG_CACHE_HOME);
}
