// Writes X.509 certificates: node:crypto reads them but makes none. Only what the payment vendors'
// certificates need: RSA keys, SHA-256, names of printable text. DER is written by hand (ITU-T X.690).

import { createPublicKey, sign, X509Certificate } from 'node:crypto';

const SHA256_WITH_RSA = [1, 2, 840, 113549, 1, 1, 11];
const NAME_OIDS = { C: [2, 5, 4, 6], O: [2, 5, 4, 10], OU: [2, 5, 4, 11], CN: [2, 5, 4, 3] };

/**
 * @param options serial: hex, its first bit 0; issuer and subject: lists of [name, text] such as
 *   ['CN', 'Somebody'], in the order they are written; notBefore, notAfter: Dates before 2050;
 *   publicKey: PEM; issuerKey: PEM of the private key that signs
 * @returns the certificate as PEM
 */
export function certificate({ serial, issuer, subject, notBefore, notAfter, publicKey, issuerKey }) {
  const algorithm = sequence(oid(SHA256_WITH_RSA), der(0x05));
  const toSign = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, Buffer.from(serial, 'hex')),
    algorithm,
    name(issuer),
    sequence(utcTime(notBefore), utcTime(notAfter)),
    name(subject),
    createPublicKey(publicKey).export({ type: 'spki', format: 'der' }),
  );
  const signature = sign('sha256', toSign, issuerKey);
  const whole = sequence(toSign, algorithm, der(0x03, Buffer.from([0]), signature));
  return new X509Certificate(whole).toString();
}

function der(tag, ...parts) {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), lengthOf(content), content]);
}

function lengthOf({ length }) {
  if (length < 0x80) return Buffer.from([length]);
  const bytes = [];
  for (let left = length; left > 0; left >>>= 8) bytes.unshift(left & 0xff);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
}

const sequence = (...parts) => der(0x30, ...parts);

function oid([first, second, ...rest]) {
  const bytes = [first * 40 + second];
  for (const number of rest) {
    const groups = [number & 0x7f];
    for (let left = number >>> 7; left > 0; left >>>= 7) groups.unshift(0x80 | (left & 0x7f));
    bytes.push(...groups);
  }
  return der(0x06, Buffer.from(bytes));
}

const name = (parts) =>
  sequence(...parts.map(([key, text]) => der(0x31, sequence(oid(NAME_OIDS[key]), der(0x13, Buffer.from(text))))));

const utcTime = (date) => der(0x17, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));
