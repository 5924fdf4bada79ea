import { type Dscp, DscpError, parseDscp } from '../rate/dscp.ts';
import { dscpAnnotation } from '../rate/keys.ts';
import type { Fault } from './judge.ts';
import type { Pod } from './pod.ts';

type Annotated = { readonly metadata: Pick<Pod['metadata'], 'annotations'> };

/** What a pod's annotation asks to mark its packets with. */
export interface AskedMark {
  /** Undefined for no marking, also where the annotation is malformed. */
  readonly dscp: Dscp | undefined;
  readonly malformed: Fault | undefined;
}

/** Reads the annotation of a pod or a pod template. Namespaces' policies have nothing to say about it. */
export function askedMark({ metadata }: Annotated): AskedMark {
  const text = markText({ metadata });
  if (text === undefined) return { dscp: undefined, malformed: undefined };
  try {
    return { dscp: parseDscp(text), malformed: undefined };
  } catch (error) {
    if (!(error instanceof DscpError)) throw error;
    const message = `annotation ${dscpAnnotation}: ${error.message}`;
    return { dscp: undefined, malformed: { status: 422, code: error.code, message } };
  }
}

/** Tells whether two objects say the same about marking. */
export function hasSameMark(one: Annotated, other: Annotated): boolean {
  return markText(one) === markText(other);
}

function markText({ metadata }: Annotated): string | undefined {
  const annotations = metadata.annotations ?? {};
  return Object.hasOwn(annotations, dscpAnnotation) ? annotations[dscpAnnotation] : undefined;
}
