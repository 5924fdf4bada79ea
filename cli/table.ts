/**
 * Lays rows out in columns that are as wide as their widest cell. The first row is the heading.
 * @param underline what the heading is underlined with, if with anything
 */
export function formatTable(rows: readonly (readonly string[])[], underline?: string): string {
  const [heading = [], ...rest] = rows;
  const widths = heading.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const rule = underline === undefined ? [] : [widths.map((width) => underline.repeat(width))];
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
  return [heading, ...rule, ...rest].map((row) => line(row).trimEnd()).join('\n');
}
