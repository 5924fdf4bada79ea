import type { Scenario } from './scenarios.ts';

/** What a client asks for, with `{n}` where a number goes that no other request has. */
export interface RequestTemplate {
  readonly path: string;
  readonly body: string;
}

/** A pod with a rate that no scheduler takes: what happens to a pod after its creation is not measured. */
function pod(namespace: string, label: string) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name: 'pod-{n}', labels: { app: 'bench', [label]: '1M' } },
    spec: {
      schedulerName: 'none',
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'main',
          image: 'registry.example.com/shop/front:1.4.2',
          command: ['front', '--listen=:8080'],
          env: [{ name: 'LOG_LEVEL', value: 'info' }],
          resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { memory: '128Mi' } },
        },
      ],
    },
  };
}

/** One request of a scenario. @param label the key of the pod's rate label */
export function requestOf(kind: Scenario['kind'], namespace: string, label: string): RequestTemplate {
  if (kind === 'pods') {
    return { path: `/api/v1/namespaces/${namespace}/pods`, body: JSON.stringify(pod(namespace, label)) };
  }
  const kindOf = { group: '', version: 'v1', kind: 'Pod' };
  const resource = { group: '', version: 'v1', resource: 'pods' };
  const request = {
    ...{ uid: '705ab4f5-6393-11e8-b7cc-{n}', kind: kindOf, resource, requestKind: kindOf, requestResource: resource },
    ...{ name: 'pod-{n}', namespace, operation: 'CREATE', userInfo: { username: 'admin', groups: ['system:masters'] } },
    ...{ object: pod(namespace, label), oldObject: null, dryRun: false, options: { kind: 'CreateOptions' } },
  };
  const body = JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request });
  return { path: '/mutate', body };
}
