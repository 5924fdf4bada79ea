/**
 * Bundles reads of the same thing without ever answering with one that began before it was asked for: who asks while a read is under
 * way shares the next one with all others that do. So each answer is as new as a read of one's own, and however many ask at once,
 * one read per key is under way.
 */
export function freshReads<T>(read: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const underWay = new Map<string, Promise<T>>();
  const next = new Map<string, Promise<T>>();

  const start = (key: string): Promise<T> => {
    const reading = read(key).finally(() => {
      if (underWay.get(key) === reading) underWay.delete(key);
    });
    underWay.set(key, reading);
    return reading;
  };

  return (key) => {
    const current = underWay.get(key);
    if (current === undefined) return start(key);
    const planned = next.get(key);
    if (planned !== undefined) return planned;
    const begin = () => {
      next.delete(key);
      return start(key);
    };
    const following = current.then(begin, begin);
    next.set(key, following);
    return following;
  };
}
