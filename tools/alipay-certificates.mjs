// What a Worker in Alipay's certificate mode is told of the three certificates, from their files:
//   node tools/alipay-certificates.mjs appCertPublicKey.crt alipayCertPublicKey_RSA2.crt alipayRootCert.crt
// Alipay calls serial number a digest of issuer and serial number; its own SDK makes it.

import { X509Certificate } from 'node:crypto';
import fs from 'node:fs';

import { AlipaySdk } from 'alipay-sdk';

const files = process.argv.slice(2);
if (files.length !== 3) {
  console.error('alipay-certificates: name the certificate of the application, of Alipay, and of the root');
  process.exit(2);
}
const [appCertContent, alipayPublicCertContent, alipayRootCertContent] = files.map((file) => fs.readFileSync(file, 'utf8'));
const { config } = new AlipaySdk({
  appId: 'none', privateKey: 'none', appCertContent, alipayPublicCertContent, alipayRootCertContent,
});
const key = new X509Certificate(alipayPublicCertContent).publicKey.export({ type: 'spki', format: 'der' });
console.log(`ALIPAY_APP_CERT_SN = "${config.appCertSn}"`);
console.log(`ALIPAY_ROOT_CERT_SN = "${config.alipayRootCertSn}"`);
console.log(`the secret ALIPAY_KEYS: ${config.alipayCertSn}:${key.toString('base64')}`);
