/** Address blocks to which no limit applies, as users write them. */
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

const mappedBits = 96;
const mapped = [...new Uint8Array(10), 0xff, 0xff];

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
  const [address, bits] = cidrOf(word);
  if (address.kind() === 'ipv4') {
    const network = ipaddr.IPv4.networkAddressFromCIDR(`${address}/${bits}`);
    const bytes = Uint8Array.from([...mapped, ...network.toByteArray()]);
    return { text: `${network}/${bits}`, bits: mappedBits + bits, bytes };
  }
  const network = ipaddr.IPv6.networkAddressFromCIDR(`${address.toNormalizedString()}/${bits}`);
  return { text: `${network.toRFC5952String()}/${bits}`, bits, bytes: Uint8Array.from(network.toByteArray()) };
}

function cidrOf(word: string): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  const [address = '', bits, ...surplus] = word.split('/');
  // The library takes 10.1 for 10.0.0.1 and 010 for 8, as C does.
  const isIpv4 = /^[\d.]+$/.test(address);
  if (
    surplus.length === 0 &&
    (isIpv4
      ? ipaddr.IPv4.isValidFourPartDecimal(address)
      : /^[\da-f:.]+$/i.test(address) && ipaddr.IPv6.isValid(address))
  ) {
    const most = isIpv4 ? 32 : 128;
    if (bits === undefined) return [ipaddr.parse(address), most];
    if (/^\d{1,3}$/.test(bits) && Number(bits) <= most) return [ipaddr.parse(address), Number(bits)];
  }
  throw new RangeError(`${JSON.stringify(word)} is no address block: write one like 10.0.0.0/8 or fd00::/8`);
}
