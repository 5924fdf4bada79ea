import { execa } from 'execa';

/** A program on a cgroup, as bpftool sees it. */
export interface AttachedProgram {
  readonly id: number;
  /** `egress`, `ingress`, `sock_ops` or another attach type. */
  readonly attachType: string;
  readonly name: string;
}

/** Lists the programs that are attached to a cgroup itself, from outside of podrate. */
export async function programsOf(cgroup: string): Promise<AttachedProgram[]> {
  const { stdout } = await execa('bpftool', ['--json', '--nomount', 'cgroup', 'show', cgroup]);
  const printed: { id: number; attach_type: string; name: string }[] = JSON.parse(stdout || '[]');
  return printed.map(({ id, attach_type: type, name }) => ({
    id,
    // Bpftool of before and after version 7.
    attachType: type.replace(/^cgroup_(inet_)?/, ''),
    name,
  }));
}
