import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'rolldown';

// What the image runs: each program as one file and the chunks that it shares with others. Without the bundle a start
// reads hundreds of files and strips their types, which takes several times as long and twice the memory.
const programs = ['nodeagent', 'webhook', 'cli'];

/** What koffi consists of at run time: a module, and a library for this processor, which no bundle can hold. */
const koffi = ['koffi/package.json', 'koffi/index.js', 'koffi/src/koffi/index.js', 'koffi/src/koffi/src', '@koromix'];

const copyKoffi: Plugin = {
  name: 'copy-koffi',
  async writeBundle({ dir = 'dist' }) {
    for (const path of koffi) {
      await cp(join('node_modules', path), join(dir, 'node_modules', path), { recursive: true });
    }
  },
};

/**
 * undici's own entry loads its fetch, WebSockets, caches and mocks, 12 MB of the agent's memory, of which nothing is used:
 * client-node makes its agents, and kube/call.ts sends requests through them.
 */
const undiciCore: Plugin = {
  name: 'undici-core',
  resolveId: (id) => (id === 'undici' ? '\0undici-core' : null),
  load: (id) =>
    id === '\0undici-core'
      ? `
        import Agent from 'undici/lib/dispatcher/agent.js';
        import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
        import ProxyAgent from 'undici/lib/dispatcher/proxy-agent.js';
        import api from 'undici/lib/api/index.js';
        Object.assign(Dispatcher.prototype, api);
        export { Agent, ProxyAgent };
        export const fetch = (...request) => globalThis.fetch(...request);`
      : null,
};

export default defineConfig({
  input: Object.fromEntries(programs.map((name) => [`${name}/main`, `${name}/main.ts`])),
  platform: 'node',
  external: ['koffi'],
  plugins: [copyKoffi, undiciCore],
  // Its package does not say so, and the agent would load the models of all kinds of objects, which it does not use.
  treeshake: { moduleSideEffects: [{ test: /@kubernetes\/client-node/, sideEffects: false }] },
  // Names stay, for stack traces.
  output: {
    dir: 'dist',
    format: 'esm',
    chunkFileNames: 'chunks/[name]-[hash].js',
    minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
  },
});
