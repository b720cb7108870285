// The keys of the imitated payment vendors and of the merchant, made once into a folder of yours.
//
// `keys.json` is the truth: it appears whole or not at all (a link to a finished file), and whoever comes
// second, in another process too, reads what the first one made. The PEM files beside it are copies for
// people and tools, written again whenever they differ.

import { generateKeyPairSync, randomBytes, randomInt } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { AlipaySdk } from 'alipay-sdk';

import { certificate } from './x509.mjs';

const FORMAT = 1;
const YEARS_GOOD = 5;
const DAY_MS = 86_400_000;

/** PEM files and where their content is in keys.json. The names are those the vendors' own tools give. */
const PEM_FILES = {
  'wechat-pay/pub_key.pem': ['wechatPay', 'publicKey'],
  'wechat-pay/platform_cert.pem': ['wechatPay', 'platformCertificate'],
  'wechat-pay/apiclient_key.pem': ['wechatPay', 'merchantPrivateKey'],
  'wechat-pay/apiclient_cert.pem': ['wechatPay', 'merchantCertificate'],
  'wechat-pay/vendor/pub_key_private.pem': ['wechatPay', 'publicKeyPrivateKey'],
  'wechat-pay/vendor/platform_private.pem': ['wechatPay', 'platformPrivateKey'],
  'alipay/app_private_key.pem': ['alipay', 'appPrivateKey'],
  'alipay/app_public_key.pem': ['alipay', 'appPublicKey'],
  'alipay/alipay_public_key.pem': ['alipay', 'alipayPublicKey'],
  'alipay/appCertPublicKey.crt': ['alipay', 'appCertificate'],
  'alipay/alipayCertPublicKey_RSA2.crt': ['alipay', 'alipayCertificate'],
  'alipay/alipayRootCert.crt': ['alipay', 'rootCertificate'],
  'alipay/vendor/alipay_private_key.pem': ['alipay', 'alipayPrivateKey'],
};

/**
 * The keys in `folder`, made now if there are none yet (it takes a second or so).
 * @returns `{wechatPay, alipay}` as `makeKeys` builds them; keys and certificates are PEM text
 */
export function ensureKeys(folder) {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'keys.json');
  const keys = readKeys(path) ?? publish(path, makeKeys());
  for (const [name, [vendor, field]] of Object.entries(PEM_FILES)) writePem(join(folder, name), keys[vendor][field]);
  return keys;
}

function readKeys(path) {
  let written;
  try {
    written = readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
  let keys;
  try {
    keys = JSON.parse(written);
  } catch {
    keys = null;
  }
  if (keys?.format !== FORMAT) throw new Error(`${path} is not of this version; delete its folder to have new keys`);
  return keys;
}

function publish(path, keys) {
  const partial = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    writeFileSync(partial, `${JSON.stringify(keys, null, 2)}\n`, { mode: 0o600, flush: true });
    linkSync(partial, path); // unlike a rename it never replaces what another process published
    return keys;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return readKeys(path);
  } finally {
    rmSync(partial, { force: true });
  }
}

function writePem(path, pem) {
  try {
    if (readFileSync(path, 'utf8') === pem) return;
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 });
  }
  const partial = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  writeFileSync(partial, pem, { mode: 0o600 });
  chmodSync(partial, 0o600);
  renameSync(partial, path);
}

function makeKeys() {
  const now = Date.now();
  const notBefore = new Date(now - DAY_MS);
  const notAfter = new Date(now + YEARS_GOOD * 365 * DAY_MS);
  const make = (issuer, issuerKey, subject, publicKey, serial = serialNumber()) =>
    certificate({ serial, issuer, issuerKey, subject, publicKey, notBefore, notAfter });
  return { format: FORMAT, wechatPay: makeWechatPay(make), alipay: makeAlipay(make) };
}

function makeWechatPay(make) {
  const ca = [['C', 'CN'], ['O', 'Zhundian sandbox'], ['OU', 'Sandbox CA Center'], ['CN', 'Sandbox Tenpay Root CA']];
  const root = keyPair();
  const [published, platform, merchant] = [keyPair(), keyPair(), keyPair()];
  const [platformSerial, merchantSerial] = [serialNumber(), serialNumber()];
  const named = (text) => [['C', 'CN'], ['O', 'Zhundian sandbox'], ['CN', text]];
  return {
    publicKeyId: `PUB_KEY_ID_${digits(34)}`,
    publicKey: published.publicKey,
    publicKeyPrivateKey: published.privateKey,
    platformSerial,
    platformCertificate: make(ca, root.privateKey, named('Sandbox Tenpay sign'), platform.publicKey, platformSerial),
    platformPrivateKey: platform.privateKey,
    merchantSerial,
    merchantCertificate: make(ca, root.privateKey, named('Sandbox merchant'), merchant.publicKey, merchantSerial),
    merchantPrivateKey: merchant.privateKey,
    apiV3Key: randomBytes(16).toString('hex'), // 32 characters, which are the key as they stand
  };
}

function makeAlipay(make) {
  const ca = [['C', 'CN'], ['O', 'Zhundian sandbox'], ['OU', 'Certification Authority'], ['CN', 'Sandbox Alipay Root']];
  const [root, vendor, app] = [keyPair(), keyPair(), keyPair()];
  const named = (text) => [['C', 'CN'], ['O', 'Zhundian sandbox'], ['OU', 'Alipay'], ['CN', text]];
  const certificates = {
    rootCertificate: make(ca, root.privateKey, ca, root.publicKey),
    alipayCertificate: make(ca, root.privateKey, named('Sandbox Alipay'), vendor.publicKey),
    appCertificate: make(ca, root.privateKey, named('Sandbox app'), app.publicKey),
  };
  // The vendor's SDK computes the serial numbers that its gateway compares.
  const { config } = new AlipaySdk({
    appId: 'none',
    keyType: 'PKCS8',
    privateKey: pemBody(app.privateKey),
    appCertContent: certificates.appCertificate,
    alipayPublicCertContent: certificates.alipayCertificate,
    alipayRootCertContent: certificates.rootCertificate,
  });
  return {
    appPublicKey: app.publicKey,
    appPrivateKey: app.privateKey,
    alipayPublicKey: vendor.publicKey,
    alipayPrivateKey: vendor.privateKey,
    ...certificates,
    appCertSn: config.appCertSn,
    alipayCertSn: config.alipayCertSn,
    rootCertSn: config.alipayRootCertSn,
  };
}

/** What Alipay's SDK calls a key: the base64 between a PEM's first and last line. */
export const pemBody = (pem) => pem.replace(/-----[^-]+-----|\s/g, '');

function keyPair() {
  return generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}

/** 20 bytes in upper-case hex, as the vendors' are; the first byte makes DER need no padding. */
const serialNumber = () => `${randomInt(0x10, 0x80).toString(16)}${randomBytes(19).toString('hex')}`.toUpperCase();
const digits = (count) => Array.from({ length: count }, () => randomInt(10)).join('');
