import { shaperUsage } from '../nodeagent/config.ts';

/** The usage text of the command line tool. */
export const usage = `Usage: podrate <command> [options]

Limits any cgroup by hand, with the shaper that limits pods.

Commands:
  run        run a command under a limit, which ends with the last process of it
  attach     limit a cgroup, or change its limit while it runs
  set        change a part of a limit, e.g. one direction
  detach     take the limit off a cgroup
  list       show everything that is limited on this machine, pods too
  top        show what flows through the limits: until Ctrl-C on a terminal, once elsewhere
  admit      show what admission would answer about manifests, without a cluster: what would be stored, warnings, refusals
  doctor     check whether limits can be enforced here; names what is missing, with the remedy
  uninstall  take all limits off this machine, of pods too, and remove all pins

attach, set and detach:
  --cgroup DIR           directory of a cgroup v2
  --pid N                the cgroup of this process, with all others in it
  --container ID         the cgroup of this container: its name, its id, or the beginning of its id
run, attach and set:
  --rate RATE            limit of both directions
  --egress RATE          limit of what the cgroup sends; wins over --rate
  --ingress RATE         limit of what the cgroup receives; wins over --rate
  --dscp CODEPOINT       mark what the cgroup sends: a number from 0 to 63, a name such as EF, AF41 or CS1, or none
  --burst MS             milliseconds of the rate that may pass at once after idle (default: the shaper's)
attach and set:
  --ingress-queue        fail where what it receives cannot go through a queue, which takes a network namespace and a
                         virtual Ethernet device of its own (default: a queue where it has them, else policing)
  --no-ingress-queue     police what it receives
top:
  --interval SECONDS     time between two looks (default 1)
admit:
  -f, --file FILE        manifests as YAML or JSON; - is standard input
  --namespace-file FILE  the namespaces that they go into, with their policies
  --label-key KEY        the installation's key of the rate label (PODRATE_LABEL_KEY; default: rate)
  --default RATE         the installation's default, in namespaces with a policy (PODRATE_DEFAULT; default: none)
  --max RATE             the installation's maximum, in namespaces with a policy (PODRATE_MAX; default: none)
  --bandwidth-annotations  limit pods without a rate label by kubernetes.io/egress-bandwidth and ingress-bandwidth
  --template KIND=PATH   where a kind that admission does not know has its pod template, such as
                         argoproj.io/Rollout=spec.template; can be given more than once
All but run:
  --json                 print JSON, errors too (on standard error)
All commands:
${shaperUsage}
  --help                 print this

A RATE is a number with a unit: 1M (1 megabyte per second), 1.5M, 500K, 2G, 1Mi (powers of 1024), 8Mbit, or none.

Examples:
  podrate run --rate 1M -- curl -O https://example.com/large.iso
  podrate attach --cgroup /sys/fs/cgroup/backup.slice --rate 1M
  podrate attach --cgroup /sys/fs/cgroup/backup.slice --egress 500K --ingress 2M
  podrate attach --container 3f1c --rate 1M
  podrate attach --pid "$(pgrep -o nginx)" --egress 10M --burst 20 --json
  podrate set --cgroup /sys/fs/cgroup/backup.slice --ingress 5M
  podrate run --dscp LE -- rsync -a /srv/ backup:/srv/
  podrate detach --cgroup /sys/fs/cgroup/backup.slice
  podrate list --json
  podrate admit -f pods.yaml --namespace-file shop.yaml | kubectl apply -f -
  kubectl get namespaces,pods,deployments -A -o yaml | podrate admit -f - >/dev/null

Exit status: 0 done, 1 failed, 2 wrong usage, 3 this machine lacks something (it is named, with the remedy),
4 admit: something is refused.
run has the status of its command: 128 and the signal's number if a signal ended it, 127 if there is no such command.
`;
