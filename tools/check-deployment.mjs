// Names everything that a deployment lacks: `node tools/check-deployment.mjs local|remote`. Local looks
// at wrangler.toml alone; remote also asks the account which secrets and buckets there are. Exits 1 if
// anything is missing. The Worker checks its configuration again at its first request (src/config.rs).

import { execFileSync } from 'node:child_process';

import { unstable_readConfig as readConfig } from 'wrangler';

const PLACEHOLDER_ID = /^[0-]*$/;
const PUBLIC_HTTPS = /^https:\/\/[^/:]*\.[a-z]+(\/|$)/;

// A payment vendor is on when the first of its variables is set; then all are needed, and the secrets.
const VENDORS = {
  'WeChat Pay': {
    vars: ['WECHAT_PAY_MCHID', 'WECHAT_PAY_SERIAL', 'WECHAT_PAY_BASE_URL', 'WECHAT_PAY_FALLBACK_URL'],
    secrets: ['WECHAT_PAY_PRIVATE_KEY', 'WECHAT_PAY_API_V3_KEY', 'WECHAT_PAY_KEYS'],
  },
  Alipay: {
    vars: ['ALIPAY_APP_ID', 'ALIPAY_SELLER_ID', 'ALIPAY_BASE_URL'],
    secrets: ['ALIPAY_PRIVATE_KEY', 'ALIPAY_KEYS'],
  },
};
/** Of every vendor. */
const PAYMENT_VARS = ['PUBLIC_URL'];
/** Certificate mode: both or neither. */
const CERTIFICATE_VARS = ['ALIPAY_APP_CERT_SN', 'ALIPAY_ROOT_CERT_SN'];
/** The Worker has a default for it, or does without. */
const WITH_DEFAULT = ['HOLD_MINUTES', 'SMS_PROVIDER', 'QUIET_HOURS', 'WECHAT_MESSAGES', 'WECHAT_ORDER_PAGE', 'WAITLIST_OFFER_MINUTES', 'INTAKE_KEEP_DAYS'];

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
const vendors = vendorsThatAreOn();
const secrets = [...config.secrets.required, ...vendors.flatMap(({ secrets }) => secrets)];
for (const name of variables()) {
  const value = config.vars[name] ?? '';
  if (value === '') missing.push(`variable ${name}: empty in wrangler.toml, [vars]`);
  else if (name.endsWith('_URL') && !PUBLIC_HTTPS.test(value)) {
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
else notes.push(`not asked for without an account: secrets ${secrets.join(', ')}; the bucket`);

for (const line of missing) console.error(`deploy: missing ${line}`);
for (const line of notes) console.error(`deploy: note: ${line}`);
process.exit(missing.length === 0 ? 0 : 1);

function vendorsThatAreOn() {
  const [on, off] = [[], []];
  for (const [name, vendor] of Object.entries(VENDORS)) (config.vars[vendor.vars[0]] ? on : off).push([name, vendor]);
  const without = off.map(([name, { vars }]) => `${name} (${vars[0]} is empty)`).join(' and ');
  if (on.length === 0) notes.push(`no online payment, every booking is paid at the store: without ${without}`);
  else if (off.length > 0) notes.push(`online payment by ${on[0][0]} alone: without ${without}`);
  return on.map(([, vendor]) => vendor);
}

/** The names of the variables that this deployment needs. */
function variables() {
  const ofPayments = [...PAYMENT_VARS, ...CERTIFICATE_VARS, ...Object.values(VENDORS).flatMap(({ vars }) => vars)];
  const names = Object.keys(config.vars).filter((name) => !ofPayments.includes(name) && !WITH_DEFAULT.includes(name))
    .filter((name) => name !== 'SMS_SDK_APP_ID' || config.vars.SMS_PROVIDER !== 'aliyun');
  if (vendors.length > 0) names.push(...PAYMENT_VARS, ...vendors.flatMap(({ vars }) => vars));
  if (vendors.includes(VENDORS.Alipay) && CERTIFICATE_VARS.some((name) => config.vars[name])) names.push(...CERTIFICATE_VARS);
  return names;
}

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
  for (const name of secrets) {
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
