/** What is marked with a code point, in tc's filters: read and changed through here only. */
import { runIproute, TcError } from '../net/iproute.ts';
import { type Device, type Mark, readDevices, readFilters, readPlaces } from './tc-output.ts';

/** What can be done in a network namespace, which is given by a file such as /run/netns/NAME or /proc/PID/ns/net. */
export interface MarkFilters {
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

/** More devices than this in one namespace are nobody's pod, but somebody's attempt to keep the agent busy. */
const mostDevices = 64;
/** Filters of lower preference run before. Low, so that what a pod's own filters look at is marked already. */
const preference = 46;

type Command = readonly ['ip' | 'tc', ...string[]];

/** Builds them. Nothing is kept. */
export function createMarkFilters(): MarkFilters {
  const run = (namespace: string, command: Command) => runIproute(namespace, command);
  const read = async <T>(namespace: string, command: Command, parse: (text: string) => T): Promise<T> => {
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
    return read(namespace, ['tc', '-j', 'filter', 'show', 'dev', device, direction], (text) =>
      readFilters(text, device),
    );
  };

  return {
    async check() {
      for (const program of ['ip', 'tc'] as const) await run('/proc/self/ns/net', [program, '-V']);
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
        'tc',
        ...['filter', 'replace', 'dev', device, 'egress', 'pref', String(preference), 'handle', String(handle)],
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
