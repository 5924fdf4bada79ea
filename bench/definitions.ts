/** Figures of one run by name; what a scenario does not have is absent. `definitions` says what each one is. */
export type Figures = Partial<Record<FigureName, number>>;

/** What the figures are and in which unit. Shares are of the limit. */
export const definitions = {
  ip: 'IP bytes / limit, after the first second; when receiving is limited, what arrives before podrate judges it',
  goodput: 'payload bytes that the receiver read / limit, after the first second',
  deviation: 'standard deviation of 100 ms windows of goodput / limit, after the first second',
  maximum: 'largest 100 ms window of goodput / limit, after the first second',
  firstSecond: 'IP bytes of the first second / limit',
  resent: 'retransmitted bytes, % of the bytes sent',
  idlePing: 'ping p50 of the limited pod before the load, ms',
  ping: 'ping p50 of the limited pod under load, ms',
  pingP99: 'ping p99 of the limited pod under load, ms',
  idleOtherPing: 'ping p50 of a pod beside it before the load, ms',
  otherPing: 'ping p50 of a pod beside it under load, ms',
  otherPingP99: 'ping p99 of a pod beside it under load, ms',
  jain: "Jain's index of the flows' goodput",
  stall: 'longest time that a flow received nothing, ms',
  cpu: "CPU seconds per GB of IP bytes, without the load programs' user time",
  udp: 'IP bytes of datagrams / limit',
  broken: 'connections that broke',
  attach: 'time to put the limit on, ms',
  afterPause: 'IP bytes of the first second after a pause / limit, the largest',
  settle: 'time until 200 ms windows stay within 8 % after a change of the limit, ms, the longest',
  failed: 'requests that failed',
  request: 'request p50, ms',
  requestP99: 'request p99, ms',
  memory: 'kernel memory, MB',
} as const;
export type FigureName = keyof typeof definitions;
