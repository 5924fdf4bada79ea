/** Reads what guest/checks.sh tells. Pure. */

/** A command's end. */
export interface Command {
  seconds: number;
  status: number;
  output: string;
}

/** Something that begins or ends. */
export interface Event {
  seconds: number;
  /** TCP segments that the pod has resent so far. */
  resent: number;
}

interface Sample {
  seconds: number;
  tcp: number;
  udp: number;
}

/** What happened in a machine. Times are seconds since its boot. */
export interface Recording {
  events: ReadonlyMap<string, Event>;
  commands: ReadonlyMap<string, Command>;
  /** By the name of the sink. */
  samples: ReadonlyMap<string, readonly Sample[]>;
}

/** Reads the lines of the checks and of the sinks; other lines are errors of their programs, and are left out. */
export function readRecording(text: string): Recording {
  const events = new Map<string, Event>();
  const commands = new Map<string, Command>();
  const samples = new Map<string, Sample[]>();
  for (const line of text.split(/\r?\n/)) {
    const [kind, time, name = '', ...rest] = line.split(' ');
    const seconds = Number(time);
    if (kind === 'event') events.set(name, { seconds, resent: Number(rest[0]) });
    if (kind === 'command') {
      const output = Buffer.from(rest[1] ?? '', 'base64').toString();
      commands.set(name, { seconds, status: Number(rest[0]), output });
    }
    if (kind === 'sample') {
      const list = samples.get(name) ?? [];
      samples.set(name, list);
      list.push({ seconds, tcp: Number(rest[0]), udp: Number(rest[1]) });
    }
  }
  return { events, commands, samples };
}

// A full segment of 1500 bytes holds 1448: IPv4 and TCP headers of 20 bytes each, and the timestamp option of 12.
const tcpBytes = (payload: number) => (payload * 1500) / 1448;
// IPv4 and UDP headers are 28 bytes beside the 1000 that guest/checks.sh sends.
const udpBytes = (payload: number) => (payload * 1028) / 1000;

/**
 * The mean rate at which a sink received while something was measured, in IP bytes per second.
 * @throws Error if it was not measured
 */
export function receivedRate(recording: Recording, sink: string, name: string): number {
  const [begin, end] = measured(recording, name);
  const within = (recording.samples.get(sink) ?? []).filter(
    ({ seconds }) => seconds >= begin.seconds && seconds <= end.seconds,
  );
  const [first, last] = [within[0], within.at(-1)];
  if (first === undefined || last === undefined || first === last)
    throw new Error(`${sink} gave no samples of ${name}`);
  return (tcpBytes(last.tcp - first.tcp) + udpBytes(last.udp - first.udp)) / (last.seconds - first.seconds);
}

/** The TCP segments that the pod resent meanwhile. @throws Error if it was not measured */
export function resent(recording: Recording, name: string): number {
  const [begin, end] = measured(recording, name);
  return end.resent - begin.resent;
}

function measured({ events }: Recording, name: string): [Event, Event] {
  const [begin, end] = [events.get(name), events.get(`${name}-end`)];
  if (begin === undefined || end === undefined) throw new Error(`${name} was not measured`);
  return [begin, end];
}
