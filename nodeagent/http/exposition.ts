/** Prometheus' text format, version 0.0.4. Pure. */

/** A sample: its labels as {@link labelsOf} writes them, empty for none, and its value. */
export type Sample = readonly [labels: string, value: number];

/** All samples of one metric. */
export type Family = readonly [name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]];

/** Writes labels, with their values escaped. */
export function labelsOf(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(',');
}

/** Writes metrics. @param families their help texts are one line each */
export function formatFamilies(families: readonly Family[]): string {
  const lines = families.flatMap(([name, type, help, samples]) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(([labels, value]) => (labels === '' ? `${name} ${value}` : `${name}{${labels}} ${value}`)),
  ]);
  return `${lines.join('\n')}\n`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
