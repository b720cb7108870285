import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { ensureKeys } from '../keys.mjs';

function newFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), 'sandbox-keys-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, 'deep', 'keys');
}

const filesOf = (folder) => readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
  .sort();

test('keys are made once, for their owner only, and PEM files come back', (t) => {
  const folder = newFolder(t);
  const keys = ensureKeys(folder);
  assert.deepEqual(ensureKeys(folder), keys);
  assert.deepEqual(filesOf(folder), [
    'alipay/alipayCertPublicKey_RSA2.crt', 'alipay/alipayRootCert.crt', 'alipay/alipay_public_key.pem',
    'alipay/appCertPublicKey.crt', 'alipay/app_private_key.pem', 'alipay/app_public_key.pem',
    'alipay/vendor/alipay_private_key.pem', 'keys.json', 'wechat-pay/apiclient_cert.pem', 'wechat-pay/apiclient_key.pem',
    'wechat-pay/platform_cert.pem', 'wechat-pay/pub_key.pem', 'wechat-pay/vendor/platform_private.pem',
    'wechat-pay/vendor/pub_key_private.pem',
  ]);
  for (const name of filesOf(folder)) assert.equal(statSync(join(folder, name)).mode & 0o077, 0, name);
  const path = join(folder, 'wechat-pay', 'apiclient_key.pem');
  rmSync(path);
  ensureKeys(folder);
  assert.equal(readFileSync(path, 'utf8'), keys.wechatPay.merchantPrivateKey);
  writeFileSync(path, 'cut of');
  ensureKeys(folder);
  assert.equal(readFileSync(path, 'utf8'), keys.wechatPay.merchantPrivateKey);
});

test('certificates carry their serial numbers, keys and issuer', (t) => {
  const { wechatPay, alipay } = ensureKeys(newFolder(t));
  assert.match(wechatPay.publicKeyId, /^PUB_KEY_ID_\d{34}$/);
  assert.match(wechatPay.apiV3Key, /^[0-9a-f]{32}$/);
  for (const kind of ['platform', 'merchant']) {
    const certificate = new X509Certificate(wechatPay[`${kind}Certificate`]);
    assert.match(wechatPay[`${kind}Serial`], /^[0-9A-F]{40}$/);
    assert.equal(certificate.serialNumber, wechatPay[`${kind}Serial`]);
    assert.match(certificate.issuer, /CN=Sandbox Tenpay Root CA/);
  }
  const root = new X509Certificate(alipay.rootCertificate);
  for (const name of ['rootCertificate', 'alipayCertificate', 'appCertificate']) {
    const certificate = new X509Certificate(alipay[name]);
    assert.ok(certificate.verify(root.publicKey), name);
    assert.ok(new Date(certificate.validFrom) < new Date() && new Date() < new Date(certificate.validTo));
  }
  for (const sn of ['appCertSn', 'alipayCertSn', 'rootCertSn']) assert.match(alipay[sn], /^[0-9a-f]{32}$/);
});

test('several starts at the same time, one of them killed, end with one set of keys', async (t) => {
  const folder = newFolder(t);
  const program = `import { ensureKeys } from ${JSON.stringify(new URL('../keys.mjs', import.meta.url).href)};
    process.stdout.write(ensureKeys(${JSON.stringify(folder)}).wechatPay.publicKeyId);`;
  const children = [0, 1, 2].map(() => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    const started = { child, output: '', ended: once(child, 'close') };
    child.stdout.setEncoding('utf8').on('data', (text) => { started.output += text; });
    return started;
  });
  children[0].child.kill('SIGKILL');
  await Promise.all(children.map(({ ended }) => ended));
  const { publicKeyId } = ensureKeys(folder).wechatPay;
  assert.deepEqual(children.slice(1).map(({ output }) => output), [publicKeyId, publicKeyId]);
});

test('a folder with something else in keys.json is refused', (t) => {
  const folder = newFolder(t);
  ensureKeys(folder);
  for (const text of ['{', '{"format":0}']) {
    writeFileSync(join(folder, 'keys.json'), text);
    assert.throws(() => ensureKeys(folder), /keys\.json is not of this version; delete its folder/);
  }
});
