/** The ports of a mixture's loads, which the meter counts apart (bench/testbed/bpf/meter.bpf.c). */
export const ports = {
  bulk: 5001,
  ping: 5002,
  short: 5003,
  idle: 5004,
  probe: 5005,
  flood: 5006,
  liar: 5007,
  offload: 5008,
};

/** The meter's number of a TCP port; 0 is everything but TCP. */
export const serviceOf = (port: number): number => port - 5000;
