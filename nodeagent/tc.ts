/** Runs iproute2's ip and tc in network namespaces. What is marked with a code point is read and changed through here only. */
import { execa } from 'execa';
import { type Device, type Mark, readDevices, readFilters, readPlaces } from './tc-output.ts';

/** iproute2 could not be run, or it refused a command. */
export class TcError extends Error {
  override readonly name = 'TcError';
  /** `tc/gone`: the namespace has vanished, as namespaces of pods do. */
  readonly code: 'tc/missing' | 'tc/gone' | 'tc/refused' | 'tc/output';

  constructor(code: TcError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What can be done in a network namespace, which is given by a file such as /run/netns/NAME or /proc/PID/ns/net. */
export interface Tc {
  /** Sees whether the programs can be run. @throws TcError */
  check(): Promise<void>;
  /** Reads all devices but the loopback. @throws TcError */
  devices(namespace: string): Promise<Device[]>;
  /** Reads the marks on devices. @throws TcError */
  marks(namespace: string, devices: readonly Device[]): Promise<Mark[]>;
  /** Puts a mark on its device, in place of one with the same handle. @param program where the program is pinned @throws TcError */
  set(namespace: string, mark: Mark, program: string): Promise<void>;
  /** Takes a mark off, and the place for filters where no other is left. One that is gone is no error. @throws TcError */
  remove(namespace: string, mark: Mark): Promise<void>;
}

const timeoutMs = 10_000;
/** More devices than this in one namespace are nobody's pod, but somebody's attempt to keep the agent busy. */
const mostDevices = 64;
/** Filters of lower preference run before. Low, so that what a pod's own filters look at is marked already. */
const preference = 46;

/** Builds the runner. */
export function createTc(): Tc {
  const run = async (namespace: string, command: readonly string[]): Promise<string> => {
    const result = await execa('nsenter', [`--net=${namespace}`, ...command], {
      ...{ reject: false, timeout: timeoutMs, env: { LC_ALL: 'C' } },
    });
    if (!result.failed) return result.stdout;
    const [program] = command;
    if (result.exitCode === 127 || result.code === 'ENOENT') {
      throw new TcError('tc/missing', `${program} is not installed: ${tcRemedy}`, { cause: result });
    }
    // What nsenter says of a file that has gone, and of one that is no namespace any more.
    if (result.stderr.includes(`cannot open ${namespace}`) || result.stderr.includes('reassociate to namespace')) {
      throw new TcError('tc/gone', `${namespace} has vanished`, { cause: result });
    }
    const reason = result.stderr.trim() || result.shortMessage || 'failed without a word';
    throw new TcError('tc/refused', `${command.join(' ').slice(0, 300)}: ${reason.slice(0, 300)}`, { cause: result });
  };
  const read = async <T>(namespace: string, command: readonly string[], parse: (text: string) => T): Promise<T> => {
    const text = await run(namespace, command);
    try {
      return parse(text);
    } catch (cause) {
      const printed = `${command.join(' ')} printed what cannot be read: ${text.slice(0, 200)}`;
      throw new TcError('tc/output', printed, { cause });
    }
  };
  const places = (namespace: string) => read(namespace, ['tc', '-j', 'qdisc', 'show'], readPlaces);
  const filters = (namespace: string, device: string, direction: 'egress' | 'ingress') => {
    const command = ['tc', '-j', 'filter', 'show', 'dev', device, direction];
    return read(namespace, command, (text) => readFilters(text, device));
  };

  return {
    async check() {
      for (const program of ['ip', 'tc']) await run('/proc/self/ns/net', [program, '-V']);
    },

    async devices(namespace) {
      const devices = await read(namespace, ['ip', '-j', 'address', 'show'], readDevices);
      if (devices.length <= mostDevices) return devices;
      const most = `the ${mostDevices} that are marked at most`;
      throw new TcError('tc/output', `${devices.length} network devices are more than ${most}`);
    },

    async marks(namespace, devices) {
      const withPlace = await places(namespace);
      const marks: Mark[] = [];
      for (const { name } of devices.filter((device) => withPlace.has(device.name))) {
        marks.push(...(await filters(namespace, name, 'egress')).marks);
      }
      return marks;
    },

    async set(namespace, { device, handle, classId }, program) {
      if (!(await places(namespace)).has(device)) await run(namespace, ['tc', 'qdisc', 'add', 'dev', device, 'clsact']);
      await run(namespace, [
        ...['tc', 'filter', 'replace', 'dev', device, 'egress', 'pref', String(preference), 'handle', String(handle)],
        ...['bpf', 'direct-action', 'object-pinned', program, 'classid', classId],
      ]);
    },

    async remove(namespace, { device, handle }) {
      const where = ['dev', device, 'egress', 'pref', String(preference), 'handle', String(handle)];
      try {
        await run(namespace, ['tc', 'filter', 'delete', ...where, 'bpf']);
      } catch (error) {
        if (!(error instanceof TcError) || !isMissing.test(error.message)) throw error;
        // The device itself, with all that was on it.
        if (isMissingDevice.test(error.message)) return;
      }
      if (!(await places(namespace)).has(device)) return;
      for (const direction of ['ingress', 'egress'] as const) {
        if ((await filters(namespace, device, direction)).count > 0) return;
      }
      await run(namespace, ['tc', 'qdisc', 'delete', 'dev', device, 'clsact']);
    },
  };
}

// What tc, or the kernel through it, says of a filter, a place for filters, or a device that is not there.
const isMissing = /No such file|not found|Cannot find|No such device|Parent Qdisc doesn't exists/i;
const isMissingDevice = /Cannot find device|No such device/i;

/** How to get what packets cannot be marked without. */
export const tcRemedy = 'install iproute2 (Debian, Ubuntu: apt-get install iproute2)';
