import { execa } from 'execa';
import { expect, test } from 'vitest';
import { structures } from '../../nodeagent/layout.ts';
import { objectFile } from './scene.ts';

interface BtfType {
  readonly kind: string;
  readonly name: string;
  readonly size?: number;
  readonly members?: readonly { readonly name: string; readonly bits_offset: number }[];
}

const { stdout } = await execa('bpftool', ['--json', 'btf', 'dump', 'file', objectFile]);
const { types } = JSON.parse(stdout) as { types: BtfType[] };
const structOf = (name: string) => types.find((type) => type.kind === 'STRUCT' && type.name === name);

test.each(Object.entries(structures))('struct %s is laid out in the object as user space takes it', (name, layout) => {
  const found = structOf(name);
  expect(found?.size).toBe(layout.size);
  const offsets = Object.fromEntries((found?.members ?? []).map((member) => [member.name, member.bits_offset / 8]));
  expect(offsets).toEqual(layout.fields);
});
