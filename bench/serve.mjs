// `wrangler dev` without a debugger attached: node bench/serve.mjs <wrangler.toml> <port> <state> <vars>
//
// From the command line wrangler always attaches its inspector, and every console line then travels
// through the debugger's protocol and two more processes, which costs more than the rest of a request.

import fs from 'node:fs';
import { parseEnv } from 'node:util';

import { unstable_startWorker } from 'wrangler';

import { PAYMENT_SECRETS } from '../tools/payment-vars.mjs';

const [config, port, state, vars] = process.argv.slice(2);
const values = parseEnv(fs.readFileSync(vars, 'utf8'));
const worker = await unstable_startWorker({
  config,
  envFiles: [vars],
  bindings: {
    PUBLIC_URL: { type: 'plain_text', value: `http://127.0.0.1:${port}` },
    // Those that wrangler.toml does not name are not taken from the file.
    ...Object.fromEntries(PAYMENT_SECRETS.map((name) => [name, { type: 'secret_text', value: values[name] }])),
  },
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
