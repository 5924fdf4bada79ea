import { expect, test } from 'vitest';
import { confinementOf } from '../../../nodeagent/preflight/security-module.ts';

test.each([
  ['no module is active', '', '', undefined],
  ['AppArmor leaves the process alone', 'unconfined\n', 'unconfined\n', undefined],
  [
    "a container runtime's profile is enforced",
    'cri-containerd.apparmor.d (enforce)\n',
    'cri-containerd.apparmor.d (enforce)\n',
    { module: 'AppArmor', label: 'cri-containerd.apparmor.d' },
  ],
  ['a profile only complains', 'docker-default (complain)\n', 'docker-default (complain)\n', undefined],
  ['a profile is in the mode unconfined', 'runc (unconfined)\n', 'runc (unconfined)\n', undefined],
  [
    'profiles are stacked',
    'lxd-x_</var/lib/lxd>//&:lxd-x_<var-lib-lxd>:docker-default (enforce)\n',
    '',
    { module: 'AppArmor', label: 'lxd-x_</var/lib/lxd>//&:lxd-x_<var-lib-lxd>:docker-default' },
  ],
  [
    'only the older attribute of AppArmor exists',
    '',
    'docker-default (enforce)\n',
    { module: 'AppArmor', label: 'docker-default' },
  ],
  [
    'SELinux confines a container',
    '',
    'system_u:system_r:container_t:s0:c12,c34\0',
    { module: 'SELinux', label: 'container_t' },
  ],
  ['SELinux lets a privileged container be', '', 'system_u:system_r:spc_t:s0\0', undefined],
  ['SELinux lets a shell be', '', 'unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023\0', undefined],
  [
    'both modules are active and SELinux confines',
    'unconfined\n',
    'system_u:system_r:container_t:s0\0',
    { module: 'SELinux', label: 'container_t' },
  ],
])('a process is confined by what its attributes tell: %s', (_, appArmor, current, confinement) => {
  expect(confinementOf(appArmor, current)).toEqual(confinement);
});
