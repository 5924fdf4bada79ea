import { dirname, join } from 'node:path';
import { execa, type Options, type ResultPromise } from 'execa';
import { insideNamespace } from '../run/network.ts';
import type { ClusterAccess, NodeAccess } from '../run/state.ts';

/** How long a command in a node may take unless the caller says otherwise. */
const EXEC_TIMEOUT_MS = 300_000;

/** The port of node-exec.service. */
const EXEC_PORT = 1022;

// With this as the default, a result's stdout is a string, as execa's own default has it.
type NoOptions = Record<never, never>;

/** Runs a program inside the cluster's network namespace: an execa subprocess, rejecting with an ExecaError if it fails. */
export type Spawn = <T extends Options = NoOptions>(
  file: string,
  args?: readonly string[],
  options?: T,
) => ResultPromise<T>;

/** Runs kubectl as cluster administrator; the same kind of subprocess. */
export type Kubectl = <T extends Options = NoOptions>(args: readonly string[], options?: T) => ResultPromise<T>;

/** How a command in a node ended. */
export interface NodeExecResult {
  /** Without its final newline. */
  stdout: string;
  stderr: string;
  /** 128 + signal number if a signal ended it; 255 with a message of node-exec if the node did not answer. */
  exitCode: number;
}

/** Options of a command in a node. */
export interface NodeExecOptions {
  input?: string | Uint8Array;
  /** The command is killed after this time; 5 minutes if not given. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** A node's machine, seen from the host. */
export interface ClusterNode {
  name: string;
  /** Its IPv4 address inside the cluster's network namespace. */
  address: string;
  /** Runs a bash command as root; it is no error if that fails. Many can run at once. */
  exec(shellCommand: string, options?: NodeExecOptions): Promise<NodeExecResult>;
  /** Starts a bash command as root and returns the subprocess, with pipes: for long-running commands and binary output. */
  spawn<T extends Options = NoOptions>(shellCommand: string, options?: T): ResultPromise<T>;
  writeFile(path: string, content: string | Uint8Array): Promise<void>;
}

/** The three ways into a running cluster. */
export function openCluster(access: ClusterAccess): { spawn: Spawn; kubectl: Kubectl; nodes: ClusterNode[] } {
  const spawn: Spawn = <T extends Options>(file: string, args: readonly string[] = [], options?: T) =>
    execa(...insideNamespace(file, args), options ?? {}) as unknown as ResultPromise<T>;
  const kubectl: Kubectl = (args, options) =>
    spawn(access.kubectl, args, {
      ...options,
      env: { ...kubectlEnvironment(access), ...options?.env },
    } as typeof options);
  return { spawn, kubectl, nodes: access.nodes.map(openNode) };
}

function kubectlEnvironment({ kubeconfig }: ClusterAccess): Record<string, string> {
  return { KUBECONFIG: kubeconfig, KUBECACHEDIR: join(dirname(kubeconfig), 'kubectl-cache') };
}

function openNode({ name, address, tokenFile, client }: NodeAccess): ClusterNode {
  const command = (shellCommand: string): [string, string[]] =>
    insideNamespace(client, [address, String(EXEC_PORT), tokenFile, shellCommand]);
  const exec = async (shellCommand: string, options: NodeExecOptions = {}): Promise<NodeExecResult> => {
    const result = await execa(...command(shellCommand), {
      reject: false,
      timeout: options.timeoutMs ?? EXEC_TIMEOUT_MS,
      maxBuffer: 256 * 1024 * 1024,
      ...(options.input === undefined ? { stdin: 'ignore' } : { input: options.input }),
      ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    });
    if (result.timedOut || result.isCanceled) throw new Error(`${name}: ${result.shortMessage}`);
    const exitCode = result.exitCode ?? 255;
    return { stdout: String(result.stdout), stderr: String(result.stderr), exitCode };
  };
  return {
    name,
    address,
    exec,
    spawn: <T extends Options>(shellCommand: string, options?: T) =>
      execa(...command(shellCommand), options ?? {}) as unknown as ResultPromise<T>,
    async writeFile(path, content) {
      const quoted = `'${path.replaceAll("'", "'\\''")}'`;
      const { exitCode, stderr } = await exec(`mkdir -p "$(dirname ${quoted})" && cat > ${quoted}`, { input: content });
      if (exitCode !== 0) throw new Error(`${name}: cannot write ${path}: ${stderr}`);
    },
  };
}
