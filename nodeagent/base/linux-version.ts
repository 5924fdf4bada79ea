/** Compares kernel versions, where nothing but the version tells what a kernel does. */

/** Whether a kernel's release, such as `6.1.0-40-cloud-amd64`, is older than a version. */
export function isLinuxBefore(release: string, major: number, minor: number): boolean {
  const [first = 0, second = 0] = release.split('.').map(Number);
  return first < major || (first === major && second < minor);
}
