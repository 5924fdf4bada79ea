type Strings = Readonly<Record<string, string>>;

/** The manifest of a pod that sleeps, as YAML. */
export function busyboxPod(name: string, labels: Strings, annotations: Strings = {}): string {
  return `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  labels: ${JSON.stringify(labels)}
  annotations: ${JSON.stringify(annotations)}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: docker.io/library/busybox:1.36
      imagePullPolicy: IfNotPresent
      command: [sleep, "3600"]
`;
}
