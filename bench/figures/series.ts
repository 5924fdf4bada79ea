/** Bytes that had arrived by a moment. */
export interface Point {
  readonly us: number;
  readonly bytes: number;
}

/** Bytes per second over a window. */
export interface Window {
  readonly fromUs: number;
  readonly toUs: number;
  readonly rate: number;
}

/** What had arrived by `us`, interpolated between the samples around it. */
export function bytesAt(points: readonly Point[], us: number): number {
  const after = points.findIndex((point) => point.us >= us);
  const next = points[after];
  const before = points[after - 1];
  if (!next) return points.at(-1)?.bytes ?? 0;
  if (!before) return next.bytes;
  return before.bytes + ((next.bytes - before.bytes) * (us - before.us)) / (next.us - before.us);
}

/** The mean rate between two moments, in bytes per second. */
export const rateBetween = (points: readonly Point[], fromUs: number, toUs: number): number =>
  ((bytesAt(points, toUs) - bytesAt(points, fromUs)) * 1e6) / (toUs - fromUs);

/** Windows of one length, one beginning every `stepUs`; only whole ones. */
export function windows(
  points: readonly Point[],
  fromUs: number,
  toUs: number,
  lengthUs: number,
  stepUs = lengthUs,
): Window[] {
  const count = Math.floor((toUs - fromUs - lengthUs) / stepUs) + 1;
  return Array.from({ length: Math.max(0, count) }, (_, index) => {
    const from = fromUs + index * stepUs;
    return { fromUs: from, toUs: from + lengthUs, rate: rateBetween(points, from, from + lengthUs) };
  });
}

/**
 * How long after `fromUs` all windows of `lengthUs` that begin no earlier, and end by `toUs`, are within `tolerance` of the rate, in us;
 * `toUs - fromUs` when they never are.
 */
export function settled(
  points: readonly Point[],
  fromUs: number,
  toUs: number,
  rate: number,
  { lengthUs, tolerance }: { readonly lengthUs: number; readonly tolerance: number },
): number {
  const off = windows(points, fromUs, toUs, lengthUs, 20_000).filter(
    (window) => Math.abs(window.rate / rate - 1) > tolerance,
  );
  const last = off.at(-1);
  if (!last) return 0;
  const at = last.fromUs + 20_000 - fromUs;
  return at + lengthUs > toUs - fromUs ? toUs - fromUs : at;
}
