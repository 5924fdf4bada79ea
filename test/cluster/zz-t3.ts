import { startCluster } from '/work/main/test/cluster/cluster.ts';
const t0 = performance.now();
const c = await startCluster({ nodes: 1, keep: true, onProgress: (s, t, st) => console.log(((performance.now()-t0)/1000).toFixed(1), s, st, t) });
console.log('up', (performance.now()-t0)/1000);
