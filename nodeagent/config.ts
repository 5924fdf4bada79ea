/** The agent's configuration: command line first, then environment, then defaults. */
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { toError } from './base/errors.ts';
import { type Block, parseBlocks } from './net/blocks.ts';
import { maxBlocks } from './shaper/maps.ts';

/** A configuration that cannot be used. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'config/invalid';
}

/** Where the shaper is and where it goes; the command line tool shares it. */
export type ShaperConfig = ReturnType<typeof readShaperConfig> & {
  /** Peers to which no limit applies; undefined leaves what is in the kernel. */
  readonly exempt?: readonly Block[];
};

/** The agent's configuration. */
export type Config = ReturnType<typeof readConfig>;

/** What an option takes, what it means, and its default, for people. In the environment `--pin-dir` is PIN_DIR. */
type Options = Readonly<Record<string, readonly [argument: string, meaning: string, otherwise: string]>>;

const shaperOptions = {
  'bpf-object': ['FILE', 'compiled programs', 'bpf/shaper.bpf.o beside this program'],
  'pin-dir': ['DIR', 'directory in a BPF file system for pins', '/sys/fs/bpf/podrate'],
  'cgroup-root': ['DIR', 'directory of cgroup v2 below which pods are looked for', 'all of it'],
  'release-cgroup': ['DIR', 'cgroup of the program that frees sockets after a limit', 'the root'],
} as const satisfies Options;

const agentOptions = {
  'node-name': ['NAME', 'node whose pods are limited', 'the host name'],
  port: ['N', 'HTTP port for /healthz, /readyz, /metrics; 0: any free one', '8081'],
  address: ['IP', 'address of the HTTP server; 0.0.0.0 or :: are all', '127.0.0.1'],
  'resync-seconds': ['N', 'time between thorough passes', '60'],
  ...shaperOptions,
  'netns-dir': ['DIR', "where the pods' network namespaces are", '/run/netns'],
  exempt: ['CIDR[,CIDR…]', "peers to which no limit applies, such as the cluster's own addresses", 'none'],
  'ingress-queue': ['BOOL', "whether what pods receive is queued, on the node's end of their devices", 'true'],
  'startup-taint': [
    'BOOL',
    'whether the node loses the taint podrate.dev/agent-not-ready once the agent is ready',
    'false',
  ],
} as const satisfies Options;

const variableOf = (flag: string) => flag.toUpperCase().replaceAll('-', '_');
const flagsOf = <Flag extends string>(options: Readonly<Record<Flag, unknown>>) =>
  Object.fromEntries(Object.keys(options).map((flag) => [flag, { type: 'string' }])) as Record<
    Flag,
    { type: 'string' }
  >;
const usageOf = (options: Options) =>
  Object.entries(options)
    .map(([flag, [argument, meaning, otherwise]]) => {
      return `${`  --${flag} ${argument}`.padEnd(24)} ${meaning} (${variableOf(flag)}; default: ${otherwise})`;
    })
    .join('\n');

/** The flags that say where the shaper is and where it goes, and their part of a usage text. */
export const shaperFlags = flagsOf(shaperOptions);
export const shaperUsage = usageOf(shaperOptions);

/** The agent's usage text. */
export const usage = `Usage: node nodeagent/main.ts [options]

Limits the pods of one node: makes the kernel agree with the pods' annotation podrate.dev/limit.

Options (each can be given in the environment instead, as named):
${usageOf(agentOptions)}
  --uninstall            take all limits off this node, remove all pins, and exit
  --help                 print this

The API server is found as kubectl finds it: KUBECONFIG, ~/.kube/config, or the service account of the pod.
SIGTERM ends the agent and leaves every limit in force; only --uninstall takes them off.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 the node lacks something (it is named, with the remedy).
`;

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the agent's configuration; an empty variable says nothing. @throws ConfigError */
export function readConfig(args: readonly string[], env: Environment) {
  const help = { type: 'boolean', default: false } as const;
  const options = { ...flagsOf(agentOptions), uninstall: help, help };
  const { values } = parse(() => parseArgs({ args: [...args], options }));
  const given = (flag: keyof typeof agentOptions) => values[flag] ?? (env[variableOf(flag)] || undefined);
  const text = (flag: keyof typeof agentOptions) => given(flag) ?? agentOptions[flag][2];
  const number = (flag: 'port' | 'resync-seconds', least: number, most: number) => {
    const result = /^\d+$/.test(text(flag)) ? Number(text(flag)) : Number.NaN;
    if (result >= least && result <= most) return result;
    throw new ConfigError(`--${flag} ${text(flag)}: must be a whole number from ${least} to ${most}`);
  };
  const isOn = (flag: 'ingress-queue' | 'startup-taint') => {
    if (/^(true|false)$/.test(text(flag))) return text(flag) === 'true';
    throw new ConfigError(`--${flag} ${text(flag)}: must be true or false`);
  };
  if (isIP(text('address')) === 0)
    throw new ConfigError(`--address ${text('address')}: must be an IP address, such as 127.0.0.1 or ::`);
  const exempt = parse(() => parseBlocks(given('exempt') ?? ''));
  if (exempt.length > maxBlocks)
    throw new ConfigError(`--exempt: ${exempt.length} blocks are more than the ${maxBlocks} that the list can hold`);
  return {
    ...readShaperConfig(values, env),
    nodeName: given('node-name') ?? hostname(),
    port: number('port', 0, 65_535),
    /** At which the HTTP server listens. */
    address: text('address'),
    resyncSeconds: number('resync-seconds', 1, 86_400),
    netnsDir: text('netns-dir'),
    exempt,
    ingressQueue: isOn('ingress-queue'),
    startupTaint: isOn('startup-taint'),
    uninstall: values.uninstall,
    help: values.help,
  };
}

/** Reads the part of the configuration that is about the shaper. */
export function readShaperConfig(
  values: { readonly [flag in keyof typeof shaperFlags]?: string | undefined },
  env: Environment,
) {
  const given = (flag: keyof typeof shaperFlags) => values[flag] ?? (env[variableOf(flag)] || undefined);
  return {
    bpfObject: given('bpf-object') ?? fileURLToPath(new URL('../bpf/shaper.bpf.o', import.meta.url)),
    pinDir: given('pin-dir') ?? shaperOptions['pin-dir'][2],
    /** Undefined: the whole cgroup2 tree. */
    cgroupRoot: given('cgroup-root'),
    /** Undefined: the root of the cgroup2 tree. */
    releaseCgroup: given('release-cgroup'),
  };
}

/** Runs a parser of arguments. @throws ConfigError for what it refuses */
export function parse<T>(parser: () => T): T {
  try {
    return parser();
  } catch (error) {
    throw new ConfigError(toError(error).message, { cause: error });
  }
}
