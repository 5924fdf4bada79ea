/** The byte order of numbers that the kernel reads and writes. */
import { endianness } from 'node:os';

/** Whether this machine's numbers begin with the lowest byte. */
export const little = endianness() === 'LE';
