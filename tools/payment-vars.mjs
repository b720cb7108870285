// Online payment of a Worker whose payment vendors are the sandbox: what both are told, for `make dev`,
// the tests and the benchmark. Every value is one line; keys are a PEM's base64 alone.

import { ensureKeys, pemBody } from '../sandbox/keys.mjs';

/**
 * The secrets among them. No deployment needs them, so wrangler.toml does not require them, and from an
 * --env-file `wrangler dev` takes only what wrangler.toml names: these are given with --var.
 */
export const PAYMENT_SECRETS = [
  'WECHAT_PAY_PRIVATE_KEY', 'WECHAT_PAY_API_V3_KEY', 'WECHAT_PAY_KEYS', 'ALIPAY_PRIVATE_KEY', 'ALIPAY_KEYS',
];

/** The merchant's numbers at the vendors, made up. Without the first of a vendor's, the Worker does without it. */
export const PAYMENT_NUMBERS = {
  WECHAT_PAY_MCHID: '1900000109',
  ALIPAY_APP_ID: '2021000000000001',
  ALIPAY_SELLER_ID: '2088000000000001',
};

/**
 * What follows from the keys in `folder`, which are made if there are none.
 *
 * The Worker is told WeChat Pay's public key only: the platform certificate it has to fetch.
 * @param alipayMode `key` or `certificate`, for the sandbox too
 */
export function keyVars(folder, alipayMode = 'key') {
  const { wechatPay, alipay } = ensureKeys(folder);
  const certificate = alipayMode === 'certificate';
  const alipayKey = pemBody(alipay.alipayPublicKey);
  return {
    SANDBOX_KEYS: folder,
    WECHAT_PAY_SERIAL: wechatPay.merchantSerial,
    WECHAT_PAY_PRIVATE_KEY: pemBody(wechatPay.merchantPrivateKey),
    WECHAT_PAY_API_V3_KEY: wechatPay.apiV3Key,
    WECHAT_PAY_KEYS: `${wechatPay.publicKeyId}:${pemBody(wechatPay.publicKey)}`,
    ALIPAY_MODE: alipayMode,
    ALIPAY_PRIVATE_KEY: pemBody(alipay.appPrivateKey),
    ALIPAY_KEYS: certificate ? `${alipay.alipayCertSn}:${alipayKey}` : alipayKey,
    ALIPAY_APP_CERT_SN: certificate ? alipay.appCertSn : '',
    ALIPAY_ROOT_CERT_SN: certificate ? alipay.rootCertSn : '',
  };
}

/** The vendors' addresses at a sandbox, WeChat Pay's second host included. */
export const paymentUrls = (sandbox) => ({
  WECHAT_PAY_BASE_URL: sandbox,
  WECHAT_PAY_FALLBACK_URL: sandbox,
  ALIPAY_BASE_URL: `${sandbox}/gateway.do`,
});

/** What a sandbox is told: it has both vendors, also when the Worker does without one. */
export const sandboxVars = (vars) => ({
  ...vars,
  ...Object.fromEntries(Object.entries(PAYMENT_NUMBERS).map(([name, number]) => [name, vars[name] || number])),
});
