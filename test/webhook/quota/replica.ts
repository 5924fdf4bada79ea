/**
 * A replica of the quota keeper as a program, called by a real API server: validating admission over TLS with nothing
 * but the quota. Arguments: port, folder with tls.crt and tls.key, the quota as JSON, how long a grant can take effect
 * in ms. The cluster is that of $KUBECONFIG. Writes a line when it listens. About a pod with the label `die` it
 * decides, and then dies before it answers.
 */
import { createServer } from 'node:https';
import process from 'node:process';
import { json, text } from 'node:stream/consumers';
import { Registry } from 'prom-client';
import { stampedLimit } from '../../../rate/stamp.ts';
import { realClock } from '../../../webhook/cluster/clock.ts';
import { connect } from '../../../webhook/cluster/connect.ts';
import { amountsOf } from '../../../webhook/quota/amounts.ts';
import { startQuota } from '../../../webhook/quota/start.ts';
import { loadPair } from '../../../webhook/tls/certificate.ts';

const [port = '', folder = '', hard = '', lifeMs = ''] = process.argv.slice(2);
const kubeConfig = connect(process.env.KUBECONFIG, {});
const registry = new Registry();
const always = { clock: realClock, signal: new AbortController().signal };
const keeper = startQuota({
  ...{ kubeConfig, registry, random: Math.random, lifeMs: Number(lifeMs), ...always },
  isNeeded: Promise.resolve(),
  onError: (error) => console.error(error),
});

interface Review {
  request: {
    uid: string;
    namespace: string;
    dryRun: boolean;
    object: { metadata: Metadata };
    oldObject: { metadata: Metadata } | null;
  };
}
interface Metadata {
  uid: string;
  name: string;
  resourceVersion: string;
  labels: Record<string, string>;
}

async function answer({ request }: Review) {
  const { namespace, dryRun, object, oldObject } = request;
  const before = oldObject === null ? undefined : versioned(oldObject.metadata);
  const { name, uid } = object.metadata;
  const wanted = amountsOf(stampedLimit(object.metadata));
  const verdict = await keeper.check(namespace, { name, uid, wanted, before, hard: JSON.parse(hard), dryRun });
  if ('die' in object.metadata.labels) process.kill(process.pid, 'SIGKILL');
  const message = JSON.stringify(verdict);
  return { uid: request.uid, allowed: verdict.allowed, ...(verdict.allowed ? {} : { status: { code: 403, message } }) };
}

function versioned(metadata: Metadata) {
  return { version: BigInt(metadata.resourceVersion), ...amountsOf(stampedLimit(metadata)) };
}

const { cert, key } = await loadPair(folder);
createServer({ cert, key }, async (request, response) => {
  try {
    if (request.url === '/metrics') {
      response.end(await registry.metrics());
      return;
    }
    const review = (await json(request)) as Review;
    const body = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: await answer(review) };
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(body));
  } catch (error) {
    console.error(error);
    response.writeHead(500).end(String(error));
  }
}).listen(Number(port), () => console.log('listening'));
await text(process.stdin);
process.exit();
