/** The agent's configuration: command line first, then environment, then defaults. */
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Block, parseBlocks } from './net/blocks.ts';
import { maxBlocks } from './shaper/exempt.ts';

/** A configuration that cannot be used. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'config/invalid';
}

/** Where the shaper is and where it goes; the command line tool shares it. */
export interface ShaperConfig {
  readonly bpfObject: string;
  readonly pinDir: string;
  /** Undefined: the whole cgroup2 tree. */
  readonly cgroupRoot: string | undefined;
  /** Undefined: the root of the cgroup2 tree. */
  readonly releaseCgroup: string | undefined;
  /** Peers to which no limit applies; undefined leaves what is in the kernel. */
  readonly exempt?: readonly Block[];
}

/** The agent's configuration. */
export interface Config extends ShaperConfig {
  readonly nodeName: string;
  readonly port: number;
  /** The address at which the HTTP server listens. */
  readonly address: string;
  readonly resyncSeconds: number;
  readonly netnsDir: string;
  /** Whether pods with an ingress limit get a queue. */
  readonly ingressQueue: boolean;
  /** Whether the node loses its startup taint once the agent is ready. */
  readonly startupTaint: boolean;
  readonly uninstall: boolean;
  readonly help: boolean;
}

/** The flags that say where the shaper is and where it goes. */
export const shaperFlags = {
  'bpf-object': { type: 'string' },
  'pin-dir': { type: 'string' },
  'cgroup-root': { type: 'string' },
  'release-cgroup': { type: 'string' },
} as const;

/** Their part of a usage text. */
export const shaperUsage = `  --bpf-object FILE      compiled programs (BPF_OBJECT; default: bpf/shaper.bpf.o beside this program)
  --pin-dir DIR          directory in a BPF file system for pins (PIN_DIR; default: /sys/fs/bpf/podrate)
  --cgroup-root DIR      directory of cgroup v2 below which pods are looked for (CGROUP_ROOT; default: all of it)
  --release-cgroup DIR   cgroup of the program that frees sockets after a limit (RELEASE_CGROUP; default: the root)`;

/** The agent's usage text. */
export const usage = `Usage: node nodeagent/main.ts [options]

Limits the pods of one node: makes the kernel agree with the pods' annotation podrate.dev/limit.

Options (each can be given in the environment instead, as named):
  --node-name NAME       node whose pods are limited (NODE_NAME; default: the host name)
  --port N               HTTP port for /healthz, /readyz, /metrics; 0: any free one (PORT; default: 8081)
  --address IP           address of the HTTP server; 0.0.0.0 or :: are all (ADDRESS; default: 127.0.0.1)
  --resync-seconds N     time between thorough passes (RESYNC_SECONDS; default: 60)
${shaperUsage}
  --netns-dir DIR        where pods' network namespaces are, to find connections older than a limit (NETNS_DIR; default: /run/netns)
  --exempt CIDR[,CIDR…]  peers to which no limit applies, such as the cluster's own addresses (EXEMPT; default: none)
  --ingress-queue BOOL   whether pods with an ingress limit get a queue on the node's end of their device, which needs
                         the node's network namespace; false: they are policed (INGRESS_QUEUE; default: true)
  --startup-taint BOOL   whether the node loses the taint podrate.dev/agent-not-ready once the agent is ready (STARTUP_TAINT;
                         default: false)
  --uninstall            take all limits off this node, remove all pins, and exit
  --help                 print this

The API server is found as kubectl finds it: KUBECONFIG, ~/.kube/config, or the service account of the pod.
SIGTERM ends the agent and leaves every limit in force; only --uninstall takes them off.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 the node lacks something (it is named, with the remedy).
`;

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the agent's configuration. @throws ConfigError */
export function readConfig(args: readonly string[], env: Environment): Config {
  const { values } = parse(() =>
    parseArgs({
      args: [...args],
      options: {
        ...shaperFlags,
        'node-name': { type: 'string' },
        port: { type: 'string' },
        'resync-seconds': { type: 'string' },
        'netns-dir': { type: 'string' },
        exempt: { type: 'string' },
        address: { type: 'string' },
        'ingress-queue': { type: 'string' },
        'startup-taint': { type: 'string' },
        uninstall: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }),
  );
  const number = (flag: string, value: string, least: number, most: number) => {
    const result = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    if (result >= least && result <= most) return result;
    throw new ConfigError(`--${flag} ${value}: must be a whole number from ${least} to ${most}`);
  };
  return {
    ...readShaperConfig(values, env),
    nodeName: values['node-name'] ?? env.NODE_NAME ?? hostname(),
    port: number('port', values.port ?? env.PORT ?? '8081', 0, 65_535),
    address: readAddress(values.address ?? (env.ADDRESS || '127.0.0.1')),
    resyncSeconds: number('resync-seconds', values['resync-seconds'] ?? env.RESYNC_SECONDS ?? '60', 1, 86_400),
    netnsDir: values['netns-dir'] ?? env.NETNS_DIR ?? '/run/netns',
    exempt: readExempt(values.exempt ?? env.EXEMPT ?? ''),
    ingressQueue: readSwitch('--ingress-queue', values['ingress-queue'] ?? (env.INGRESS_QUEUE || 'true')),
    startupTaint: readSwitch('--startup-taint', values['startup-taint'] ?? (env.STARTUP_TAINT || 'false')),
    uninstall: values.uninstall,
    help: values.help,
  };
}

/** Reads the part of the configuration that is about the shaper. */
export function readShaperConfig(
  values: { readonly [flag in keyof typeof shaperFlags]?: string | undefined },
  env: Environment,
): ShaperConfig {
  return {
    bpfObject: values['bpf-object'] ?? env.BPF_OBJECT ?? fileURLToPath(new URL('../bpf/shaper.bpf.o', import.meta.url)),
    pinDir: values['pin-dir'] ?? env.PIN_DIR ?? '/sys/fs/bpf/podrate',
    cgroupRoot: values['cgroup-root'] ?? env.CGROUP_ROOT,
    releaseCgroup: values['release-cgroup'] ?? env.RELEASE_CGROUP,
  };
}

function readSwitch(flag: string, text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  throw new ConfigError(`${flag} ${text}: must be true or false`);
}

function readAddress(text: string): string {
  if (isIP(text) !== 0) return text;
  throw new ConfigError(`--address ${text}: must be an IP address, such as 127.0.0.1 or ::`);
}

function readExempt(list: string): readonly Block[] {
  const blocks = parse(() => parseBlocks(list));
  if (blocks.length <= maxBlocks) return blocks;
  throw new ConfigError(`--exempt: ${blocks.length} blocks are more than the ${maxBlocks} that the list can hold`);
}

/** Runs a parser of arguments. @throws ConfigError for what it refuses */
export function parse<T>(parser: () => T): T {
  try {
    return parser();
  } catch (error) {
    throw new ConfigError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
