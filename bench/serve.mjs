// `wrangler dev` without a debugger attached: node bench/serve.mjs <wrangler.toml> <port> <state> <vars>
//
// From the command line wrangler always attaches its inspector, and every console line then travels
// through the debugger's protocol and two more processes, which costs more than the rest of a request.

import { unstable_startWorker } from 'wrangler';

const [config, port, state, vars] = process.argv.slice(2);
const worker = await unstable_startWorker({
  config,
  envFiles: [vars],
  dev: {
    server: { hostname: '127.0.0.1', port: Number(port) },
    inspector: false,
    persist: state,
    watch: false,
    liveReload: false,
  },
});
await worker.ready;
process.once('SIGTERM', () => worker.dispose().then(() => process.exit(0)));
