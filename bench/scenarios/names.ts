/** A rate as it is written in names: 100kB/s, 5MB/s. */
export const rateName = (rate: number): string => (rate < 1e6 ? `${rate / 1e3}kB/s` : `${rate / 1e6}MB/s`);
