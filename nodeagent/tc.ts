/** Runs iproute2's ip and tc in network namespaces. What is marked with a code point is read and changed through here only. */
import { execa } from 'execa';
import { z } from 'zod';

/** The marking program: bpf/dscp.bpf.c. */
export const markProgram = 'podrate_dscp';

/** A network device of a namespace. */
export interface Device {
  readonly name: string;
  readonly isUp: boolean;
  /** Bytes of its link-layer header before the IP header: 14 on Ethernet, 0 on devices of IP packets. */
  readonly linkHeader: number;
  /** IP addresses on it, in the kernel's spelling, those of the link itself left out. */
  readonly addresses: readonly string[];
}

/** A filter with the marking program on the way out of a device. */
export interface Mark {
  readonly device: string;
  /** Tells the filters of a device apart: {@link handleOf}. */
  readonly handle: number;
  /** As tc prints it, such as `8d1f:3ae`: the program's version and what it is to do. */
  readonly classId: string;
}

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

const links = z.array(
  z.looseObject({
    ifname: z.string(),
    flags: z.array(z.string()),
    link_type: z.string().optional(),
    addr_info: z.array(z.looseObject({ local: z.string().optional(), scope: z.string().optional() })).default([]),
  }),
);
const queues = z.array(z.looseObject({ kind: z.string().optional(), dev: z.string().optional() }));
const filters = z.array(
  z.looseObject({
    options: z
      .looseObject({
        handle: z.string().optional(),
        flowid: z.string().optional(),
        prog: z.looseObject({ name: z.string().optional() }).optional(),
      })
      .optional(),
  }),
);

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
  const read = async <T>(schema: z.ZodType<T>, namespace: string, command: readonly string[]): Promise<T> => {
    const text = await run(namespace, command);
    try {
      return schema.parse(JSON.parse(text.trim() || '[]'));
    } catch (cause) {
      throw new TcError('tc/output', `${command.join(' ')} printed what cannot be read: ${text.slice(0, 200)}`, {
        cause,
      });
    }
  };
  const hasPlace = async (namespace: string, device: string) => {
    const found = await read(queues, namespace, ['tc', '-j', 'qdisc', 'show', 'dev', device]);
    return found.some(({ kind }) => kind === 'clsact');
  };

  return {
    async check() {
      for (const program of ['ip', 'tc']) await run('/proc/self/ns/net', [program, '-V']);
    },

    async devices(namespace) {
      const found = await read(links, namespace, ['ip', '-j', 'address', 'show']);
      const devices = found.filter(({ flags }) => !flags.includes('LOOPBACK'));
      if (devices.length > mostDevices) {
        const most = `the ${mostDevices} that are marked at most`;
        throw new TcError('tc/output', `${devices.length} network devices are more than ${most}`);
      }
      return devices.map(({ ifname, flags, link_type, addr_info }) => ({
        name: ifname,
        isUp: flags.includes('UP'),
        linkHeader: link_type === 'ether' ? 14 : 0,
        addresses: addr_info.flatMap(({ local, scope }) => (local === undefined || scope === 'link' ? [] : [local])),
      }));
    },

    async marks(namespace, devices) {
      const places = await read(queues, namespace, ['tc', '-j', 'qdisc', 'show']);
      const named = new Set(places.filter(({ kind }) => kind === 'clsact').map(({ dev }) => dev));
      const marks: Mark[] = [];
      for (const { name } of devices.filter((device) => named.has(device.name))) {
        for (const { options } of await read(filters, namespace, [
          'tc',
          '-j',
          'filter',
          'show',
          'dev',
          name,
          'egress',
        ])) {
          if (options?.prog?.name !== markProgram) continue;
          marks.push({ device: name, handle: Number(options.handle), classId: options.flowid ?? '' });
        }
      }
      return marks;
    },

    async set(namespace, { device, handle, classId }, program) {
      if (!(await hasPlace(namespace, device))) await run(namespace, ['tc', 'qdisc', 'add', 'dev', device, 'clsact']);
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
      if (!(await hasPlace(namespace, device))) return;
      for (const direction of ['ingress', 'egress']) {
        const left = await read(filters, namespace, ['tc', '-j', 'filter', 'show', 'dev', device, direction]);
        if (left.length > 0) return;
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
