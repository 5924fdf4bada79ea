import type { Kernel } from './kernel.ts';

/** A virtual machine. */
export interface Machine {
  name: string;
  memoryMebibytes: number;
  kernel: Kernel;
  initramfs: string;
  /** Added to the kernel's command line. */
  bootOptions?: readonly string[];
  /** Files that receive the output of the serial ports; the first is the kernel's console. */
  serials: readonly string[];
  /** Image files, in the order of /dev/vda, /dev/vdb ... */
  drives: readonly { file: string; readonly: boolean }[];
  /** More of QEMU's options, such as a network card. */
  devices?: readonly string[];
  /**
   * Whether the processors take turns, which is slower. A kernel patches its own code when the first BPF program is
   * attached to a cgroup. Under load, on processors that run at once, emulation sometimes still executes the breakpoint
   * ("Oops: int3").
   */
  takeTurns?: boolean;
}

const PROCESSORS = 2;
// x86-64-v2. Programs use what newer models add, such as fast string instructions, and emulation makes those several
// times slower.
const PROCESSOR = 'Nehalem';
// Each of these either saves boot time or, for the clock, keeps an emulated processor from being called unreliable.
const bootOptions = [
  'console=ttyS0',
  'quiet',
  'panic=-1',
  'net.ifnames=0',
  'mitigations=off',
  'audit=0',
  'random.trust_cpu=on',
  'cryptomgr.notests',
  'no_timer_check',
  'tsc=reliable',
];

/**
 * Returns the arguments of qemu-system-x86_64. Emulation (TCG) runs everywhere; KVM needs hardware that a machine in a
 * cloud rarely passes on.
 */
export function qemuArguments(machine: Machine): string[] {
  const { name, kernel, initramfs, memoryMebibytes, serials, drives, devices = [], takeTurns = false } = machine;
  const fixed = ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-device', 'virtio-rng-pci'];
  return [
    ...fixed,
    ...options({
      name,
      accel: `tcg,thread=${takeTurns ? 'single' : 'multi'},tb-size=256`,
      cpu: PROCESSOR,
      smp: String(PROCESSORS),
      m: String(memoryMebibytes),
      kernel: kernel.image,
      initrd: initramfs,
      append: [...bootOptions, ...(machine.bootOptions ?? [])].join(' '),
    }),
    ...serials.flatMap((file) => options({ serial: `file:${file}` })),
    ...drives.flatMap(({ file, readonly }, index) => {
      // Writes go to an unnamed temporary file that ends with QEMU.
      const access = readonly ? 'readonly=on' : 'snapshot=on,cache=unsafe';
      return options({
        drive: `file=${file},format=raw,if=none,id=d${index},${access}`,
        device: `virtio-blk-pci,drive=d${index}`,
      });
    }),
    ...devices,
  ];
}

function options(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => [`-${name}`, value]);
}
