import type { Node } from '../../nodeagent/open-node.ts';
import { directions } from '../../rate/limit.ts';
import { type CgroupOptions, namedCgroup } from '../cgroup/cgroup.ts';
import { CommandError } from '../errors.ts';
import { adoptOlder, type Wait } from '../limit/adopt.ts';
import type { Change } from '../limit/change.ts';
import { type LimitOptions, noLimit, readBurst, readRates, requireIngress } from '../limit/limit.ts';
import { markOf, namespacesToMark, readDscp, withMark } from '../limit/mark.ts';
import { limitCgroup } from './attach.ts';

/**
 * Changes what the options say of a cgroup's limit and mark, and leaves the rest of it as it is.
 * @throws CommandError
 */
export async function set(node: Node, options: LimitOptions & CgroupOptions, wait: Wait): Promise<Change> {
  const rates = readRates(options);
  const burstNs = readBurst(options.burst) * 1_000_000;
  const asked = readDscp(options);
  const cgroup = await namedCgroup(options, node.cgroupMount);
  const marked = await markOf(node, cgroup);
  const dscp = options.dscp === undefined ? marked : asked;
  const namespaces = asked === undefined ? [] : await namespacesToMark(cgroup);
  const change = await limitCgroup(node, cgroup, (current) => {
    if (current === undefined) {
      throw new CommandError('cli/not-limited', `${cgroup.path} is not limited: use podrate attach`);
    }
    const config = { ...current };
    for (const direction of directions) {
      const old = current[direction];
      const said = (options[direction] ?? options.rate) !== undefined;
      const rate = said ? (rates[direction] ?? 0) : old.rate;
      const burst = options.burst === undefined ? old.burstNs : burstNs;
      config[direction] = { rate, burstNs: rate === 0 ? 0 : burst };
    }
    requireIngress(options['ingress-queue'], config.ingress.rate);
    if (config.egress.rate === 0 && config.ingress.rate === 0 && dscp === undefined) throw noLimit();
    // What is policed stays policed. A new limit of what is received comes with a queue where there can be one.
    const isPoliced = current.ingress.rate > 0 && !current.queued;
    return { config, queue: options['ingress-queue'] ?? (isPoliced ? false : undefined) };
  });
  if (options.dscp === undefined) return adoptOlder(node, { ...change, mark: { before: marked, after: marked } }, wait);
  return adoptOlder(node, await withMark(node, change, asked, namespaces), wait);
}
