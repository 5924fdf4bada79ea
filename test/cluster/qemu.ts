import type { Kernel } from './kernel.ts';

/** A virtual machine: what it boots, what it has, and where its serial ports go. */
export interface Machine {
  name: string;
  memoryMebibytes: number;
  kernel: Kernel;
  initramfs: string;
  /** Added to the kernel's command line. */
  bootOptions?: readonly string[];
  /** Files that get what the machine writes to its serial ports; the first is the kernel's console. */
  serials: readonly string[];
  /** Image files, in the order of /dev/vda, /dev/vdb ... */
  drives: readonly { file: string; readonly: boolean }[];
  /** More of QEMU's options, such as a network card. */
  devices?: readonly string[];
  /**
   * Whether the processors take turns. Slower, but where they run at once a kernel that patches its own code under load, as it does for
   * the first BPF program on any cgroup, now and then dies of a breakpoint that emulation still sees ("Oops: int3").
   */
  takeTurns?: boolean;
}

const PROCESSORS = 2;
// x86-64-v2. What newer models add, such as fast string instructions, programs then use, and emulation makes it several times slower.
const PROCESSOR = 'Nehalem';
// Each of these either saves boot time or, for the clock, keeps an emulated processor from being called unreliable.
const bootOptions = [
  ...['console=ttyS0', 'quiet', 'panic=-1', 'net.ifnames=0', 'mitigations=off', 'audit=0'],
  ...['random.trust_cpu=on', 'cryptomgr.notests', 'no_timer_check', 'tsc=reliable'],
];

/** The arguments of qemu-system-x86_64. Emulated (TCG), which runs everywhere; KVM would need hardware that a machine in a cloud rarely passes on. */
export function qemuArguments(machine: Machine): string[] {
  const { name, kernel, initramfs, memoryMebibytes, serials, drives, devices = [], takeTurns = false } = machine;
  return [
    ...[
      '-name',
      name,
      '-accel',
      `tcg,thread=${takeTurns ? 'single' : 'multi'},tb-size=256`,
      '-cpu',
      PROCESSOR,
      '-smp',
      String(PROCESSORS),
    ],
    ...['-m', String(memoryMebibytes), '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...serials.flatMap((file) => ['-serial', `file:${file}`]),
    ...['-kernel', kernel.image, '-initrd', initramfs],
    ...['-append', [...bootOptions, ...(machine.bootOptions ?? [])].join(' ')],
    ...drives.flatMap(({ file, readonly }, index) => [
      // Writes go to an unnamed temporary file that ends with QEMU.
      ...[
        '-drive',
        `file=${file},format=raw,if=none,id=d${index},${readonly ? 'readonly=on' : 'snapshot=on,cache=unsafe'}`,
      ],
      ...['-device', `virtio-blk-pci,drive=d${index}`],
    ]),
    ...devices,
    ...['-device', 'virtio-rng-pci'],
  ];
}
