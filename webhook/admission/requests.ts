/** What the writer of a pod or a pod template asks for: its rate labels and its code point. */
import { type Dscp, DscpError, parseDscp } from '../../rate/dscp.ts';
import { dscpAnnotation, type LabelKeys } from '../../rate/keys.ts';
import { LabelError, type Request, requestedRates as readRates } from '../../rate/limit.ts';
import { formatRate, parseRate, RateError } from '../../rate/rate.ts';
import type { Fault } from './decision.ts';
import type { Labelled } from './pod.ts';

/**
 * Reports whether the rate labels of two objects ask for the same, in whatever form: the webhook itself rewrites them.
 */
export function hasSameRateLabels(one: Labelled, other: Labelled, keys: LabelKeys): boolean {
  return Object.values(keys).every((key) => canonical(one, key) === canonical(other, key));
}

/** Reports whether an object has a rate label. */
export function hasRateLabel({ labels = {} }: Labelled, keys: LabelKeys): boolean {
  return Object.values(keys).some((key) => Object.hasOwn(labels, key));
}

// The text itself where it is no rate, which no rate's canonical form is.
function canonical({ labels }: Labelled, key: string): string | undefined {
  const text = labels?.[key];
  if (text === undefined) return undefined;
  try {
    return formatRate(parseRate(text));
  } catch (error) {
    if (error instanceof RateError) return text;
    throw error;
  }
}

/** The rates that a pod or a pod template asks for. */
export type RequestedRates =
  | { readonly asked: Request; readonly malformed?: undefined }
  | { readonly asked?: undefined; readonly malformed: Fault };

/** Reads the rate labels of a pod or a pod template. */
export function requestedRates({ labels }: Pick<Labelled, 'labels'>, keys: LabelKeys): RequestedRates {
  try {
    return { asked: readRates(labels, keys) };
  } catch (error) {
    if (!(error instanceof LabelError)) throw error;
    return { malformed: { status: 422, code: error.code, message: error.message } };
  }
}

/** The code point that a pod or a pod template asks for. */
export interface RequestedDscp {
  /** Undefined for no marking, also where the annotation is malformed. */
  readonly dscp: Dscp | undefined;
  readonly malformed: Fault | undefined;
}

/** Reads the annotation of a pod or a pod template. Namespaces' policies do not bound it. */
export function requestedDscp(object: Labelled): RequestedDscp {
  const text = annotationOf(object);
  if (text === undefined) return { dscp: undefined, malformed: undefined };
  try {
    return { dscp: parseDscp(text), malformed: undefined };
  } catch (error) {
    if (!(error instanceof DscpError)) throw error;
    const message = `annotation ${dscpAnnotation}: ${error.message}`;
    return { dscp: undefined, malformed: { status: 422, code: error.code, message } };
  }
}

/** Reports whether two objects ask for the same code point. */
export function hasSameDscp(one: Labelled, other: Labelled): boolean {
  return annotationOf(one) === annotationOf(other);
}

function annotationOf({ annotations = {} }: Labelled): string | undefined {
  return Object.hasOwn(annotations, dscpAnnotation) ? annotations[dscpAnnotation] : undefined;
}
