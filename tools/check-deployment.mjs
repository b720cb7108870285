// Names everything that a deployment lacks: `node tools/check-deployment.mjs local|remote`. Local looks
// at wrangler.toml alone; remote also asks the account which secrets and buckets there are. Exits 1 if
// anything is missing. The Worker checks its configuration again at its first request (src/config.rs).

import { execFileSync } from 'node:child_process';

import { unstable_readConfig as readConfig } from 'wrangler';

const PLACEHOLDER_ID = /^[0-]*$/;
const PUBLIC_HTTPS = /^https:\/\/[^/:]*\.[a-z]+(\/|$)/;

const config = readConfig({ config: 'wrangler.toml' });
const missing = [];
const notes = [];

for (const { binding, database_id: id = '', database_name: name } of config.d1_databases) {
  if (PLACEHOLDER_ID.test(id)) {
    missing.push(
      `binding ${binding}: database_id is a placeholder; \`wrangler d1 create ${name} --location apac\` ` +
        'makes a database and prints its id for wrangler.toml',
    );
  }
}
for (const [name, value] of Object.entries(config.vars)) {
  if (value === '') missing.push(`variable ${name}: empty in wrangler.toml, [vars]`);
  else if (name.endsWith('_BASE_URL') && !PUBLIC_HTTPS.test(value)) {
    missing.push(`variable ${name}: it must be a public https address, not ${value}`);
  }
}
if (config.vars.ENVIRONMENT !== 'production') {
  missing.push(`variable ENVIRONMENT: a deployment's is "production", not "${config.vars.ENVIRONMENT}"`);
}
if (!config.workers_dev && !config.route && !config.routes?.length) {
  notes.push(
    'wrangler.toml names no domain; unless the Worker has one already, nobody reaches it: ' +
      'routes = [{ pattern = "api.example.cn", custom_domain = true }]',
  );
}
if (process.argv[2] === 'remote') checkAccount();
else notes.push(`not asked for without an account: secrets ${config.secrets.required.join(', ')}; the bucket`);

for (const line of missing) console.error(`deploy: missing ${line}`);
for (const line of notes) console.error(`deploy: note: ${line}`);
process.exit(missing.length === 0 ? 0 : 1);

function checkAccount() {
  let set;
  try {
    const printed = wrangler('secret', 'list', '--format', 'json');
    set = JSON.parse(printed.slice(printed.indexOf('['))).map((secret) => secret.name);
  } catch (error) {
    const why = `${error.stdout ?? ''}${error.stderr ?? ''}`.trim() || error.message;
    // At the first deployment there is no Worker yet that could have secrets.
    if (!/not found|does not exist|10007/i.test(why)) {
      missing.push(`account: wrangler cannot ask it (\`wrangler login\`, or CLOUDFLARE_API_TOKEN):\n${why}`);
      return;
    }
    set = [];
  }
  for (const name of config.secrets.required) {
    if (!set.includes(name)) missing.push(`secret ${name}: \`wrangler secret put ${name}\``);
  }
  for (const { binding, bucket_name: name } of config.r2_buckets) {
    try {
      wrangler('r2', 'bucket', 'info', name);
    } catch {
      missing.push(`binding ${binding}: no such bucket; \`wrangler r2 bucket create ${name} --location apac\``);
    }
  }
}

function wrangler(...words) {
  return execFileSync('wrangler', words, {
    encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000, env: { ...process.env, NO_COLOR: '1' },
  });
}
