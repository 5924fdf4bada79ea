/** Address blocks to which no limit applies, as users write them. */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** An address block; IPv4 as the part ::ffff:0:0/96 of IPv6, which is how the programs look addresses up. */
export interface Block {
  /** In one spelling, such as `10.0.0.0/8`. */
  readonly text: string;
  /** Length of the prefix, 0 to 128. */
  readonly bits: number;
  /** The 16 bytes of its first address. */
  readonly bytes: Uint8Array;
}

/**
 * Reads a list of CIDR blocks and addresses, separated by commas or white space.
 * @returns each block once
 * @throws RangeError which quotes the first that is neither
 */
export function parseBlocks(list: string): Block[] {
  const words = list.split(/[\s,]+/).filter(Boolean);
  return [...new Map(words.map(parseBlock).map((block) => [block.text, block])).values()];
}

function parseBlock(word: string): Block {
  const [, address = '', digits] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(word) ?? [];
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  const bits = digits === undefined ? Math.max(most, 0) : Number(digits);
  if (bits > most) {
    throw new RangeError(`${JSON.stringify(word)} is no address block: write one like 10.0.0.0/8 or fd00::/8`);
  }
  const parsed = ipaddr.parse(address);
  if (parsed instanceof ipaddr.IPv4) {
    const network = ipaddr.IPv4.networkAddressFromCIDR(`${parsed}/${bits}`);
    const bytes = Uint8Array.from(network.toIPv4MappedAddress().toByteArray());
    return { text: `${network}/${bits}`, bits: 96 + bits, bytes };
  }
  const network = ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toNormalizedString()}/${bits}`);
  return { text: `${network.toRFC5952String()}/${bits}`, bits, bytes: Uint8Array.from(network.toByteArray()) };
}
