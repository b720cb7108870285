// Tencent Cloud SMS: SendSms of version 2021-01-11 under the TC3-HMAC-SHA256 signature.
//
// HTTP is always 200. What is wrong with the request as a whole is `Response.Error`; what is wrong with
// a message (number, signature text, template) is the Code of that number in `SendStatusSet`.

import { createHash, randomInt, randomUUID, timingSafeEqual } from 'node:crypto';

import signModule from 'tencentcloud-sdk-nodejs-common/tencentcloud/common/sign.js';

import { json, readJsonObject } from './http.mjs';

const Sign = signModule.default;

export const API_VERSION = '2021-01-11';
export const MAX_CLOCK_SKEW_S = 300;
export const MAX_NUMBERS = 200;
export const MAX_SESSION_CONTEXT_BYTES = 512;

const AUTHORIZATION =
  /^TC3-HMAC-SHA256 Credential=([^/,\s]+)\/(\d{4}-\d{2}-\d{2})\/([a-z0-9]+)\/tc3_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/;
/** Narrower than the real service, which also takes 86 and 0086: one way to write a number is enough. */
const MAINLAND_NUMBER = /^\+86(1\d{10})$/;

const PARAMETERS = {
  PhoneNumberSet: 'strings',
  SmsSdkAppId: 'string',
  TemplateId: 'string',
  SignName: 'string',
  TemplateParamSet: 'strings',
  ExtendCode: 'string',
  SessionContext: 'string',
  SenderId: 'string',
};
const REQUIRED = ['PhoneNumberSet', 'SmsSdkAppId', 'TemplateId'];

const MESSAGE = new Map([
  ['FailedOperation.ContainSensitiveWord', 'content contains sensitive words'],
  ['FailedOperation.InsufficientBalanceInSmsPackage', 'insufficient balance in SMS package'],
  ['FailedOperation.PhoneNumberInBlacklist', 'phone number is in the blocklist'],
  ['FailedOperation.SignatureIncorrectOrUnapproved', 'signature is incorrect or unapproved'],
  [
    'FailedOperation.TemplateIncorrectOrUnapproved',
    'template is not approved or request content does not match the approved template content',
  ],
  ['InternalError', 'internal error'],
  ['InvalidParameterValue.IncorrectPhoneNumber', 'incorrect phone number'],
  [
    'LimitExceeded.PhoneNumberThirtySecondLimit',
    'the number of SMS messages sent to a single mobile number within 30 seconds exceeds the upper limit',
  ],
]);
/** Errors of these families concern the caller, not one number. */
const WHOLE_REQUEST = /^(AuthFailure|InternalError|RequestLimitExceeded|UnauthorizedOperation)(\.|$)/;

/** Thrown where a request fails as a whole; becomes `Response.Error`. */
class Refusal extends Error {
  constructor(code, message = MESSAGE.get(code) ?? 'refused by the sandbox') {
    super(message);
    this.code = code;
  }
}

/**
 * @param options secretId, secretKey, sdkAppId, signName: what this account has; templates: a Set of
 *   approved template ids, or null for any numeric one; messages: where deliveries go; now: UTC ms.
 */
export function createTencentSms(options) {
  return {
    name: 'sms',
    routes: [{ method: 'POST', path: '/', handle: (request, fault) => answer(options, request, fault) }],
    faultKinds: { busy: undefined, refuse: undefined, frequency_limit: undefined },
    isErrcode: (value) => typeof value === 'string' && /^[A-Za-z]+(\.[A-Za-z]+)?$/.test(value),
    errcodeRule: 'a Tencent error code such as "FailedOperation.PhoneNumberInBlacklist"',
  };
}

function answer(account, request, fault) {
  try {
    checkCommonHeaders(request, account.now());
    checkSignature(account, request);
    const asked = readParameters(request.body);
    if (asked.SmsSdkAppId !== account.sdkAppId) {
      throw new Refusal('InvalidParameterValue.SdkAppIdNotExist', 'SdkAppId does not exist');
    }
    // A fault comes after the checks: it must not hide a request that the real service would refuse.
    const faultCode = fault && codeOfFault(fault);
    if (faultCode && WHOLE_REQUEST.test(faultCode)) throw new Refusal(faultCode);
    return respond({
      SendStatusSet: asked.PhoneNumberSet.map((number) => sendOne(account, asked, number, faultCode)),
    });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return respond({ Error: { Code: error.code, Message: error.message } });
  }
}

const respond = (response) => json({ Response: { ...response, RequestId: randomUUID() } });

function codeOfFault({ kind, errcode }) {
  if (kind === 'busy') return 'InternalError';
  if (kind === 'frequency_limit') return 'LimitExceeded.PhoneNumberThirtySecondLimit';
  return errcode ?? 'FailedOperation.InsufficientBalanceInSmsPackage';
}

function checkCommonHeaders({ headers }, now) {
  for (const name of ['X-TC-Action', 'X-TC-Version', 'X-TC-Region', 'X-TC-Timestamp']) {
    if (!headers[name.toLowerCase()]) {
      throw new Refusal('MissingParameter', `The request is missing a required parameter \`${name}\`.`);
    }
  }
  if (headers['x-tc-action'] !== 'SendSms') {
    throw new Refusal('InvalidAction', `The action \`${headers['x-tc-action']}\` is invalid or not found.`);
  }
  if (headers['x-tc-version'] !== API_VERSION) {
    throw new Refusal('NoSuchVersion', `The version \`${headers['x-tc-version']}\` does not exist.`);
  }
  if (!/^\d{1,12}$/.test(headers['x-tc-timestamp'])) {
    throw new Refusal('InvalidParameter', 'X-TC-Timestamp is not a unix time in seconds.');
  }
  if (Math.abs(now / 1000 - Number(headers['x-tc-timestamp'])) > MAX_CLOCK_SKEW_S) {
    throw new Refusal('AuthFailure.SignatureExpire', 'X-TC-Timestamp is more than five minutes off.');
  }
}

function checkSignature({ secretId, secretKey }, request) {
  const parts = AUTHORIZATION.exec(request.headers.authorization ?? '');
  if (!parts) {
    throw new Refusal('AuthFailure.InvalidAuthorization', 'Authorization is not of the TC3-HMAC-SHA256 form.');
  }
  const [, givenId, date, service, signedHeaders, signature] = parts;
  const fail = (why) => {
    throw new Refusal('AuthFailure.SignatureFailure', `The provided credentials could not be validated: ${why}.`);
  };
  if (givenId !== secretId) {
    throw new Refusal('AuthFailure.SecretIdNotFound', 'The SecretId is not found.');
  }
  const timestamp = request.headers['x-tc-timestamp'];
  if (date !== utcDate(timestamp)) fail('the credential scope has another date than X-TC-Timestamp, in UTC');
  if (service !== 'sms') fail('the credential scope names another service than sms');

  const names = signedHeaders.split(';');
  if (names.join() !== [...new Set(names)].sort().join()) fail('SignedHeaders are not sorted and distinct');
  for (const name of ['content-type', 'host']) if (!names.includes(name)) fail(`${name} is not signed`);
  for (const name of names) if (request.headers[name] === undefined) fail(`${name} is signed but was not sent`);

  const expected = tc3Signature({ ...request, names, service, timestamp, secretKey });
  if (!timingSafeEqual(Buffer.from(expected), Buffer.from(signature))) fail('the signature is another one');
}

/**
 * The TC3 signature of a request as it arrived. The SDK's whole-request signer cannot say it: it drops the
 * port from the host and signs two headers only. So the canonical request is written out here, and every
 * HMAC is the SDK's own; the tests hold both against the SDK's signer and client.
 */
export function tc3Signature({ method, path, rawQuery, headers, body, names, service, timestamp, secretKey }) {
  // Values are signed in lower case, except the content type, which the SDKs sign as it is sent.
  const value = (name) => (name === 'content-type' ? headers[name] : headers[name].trim().toLowerCase());
  const canonicalHeaders = names.map((name) => `${name}:${value(name)}\n`).join('');
  const canonical = [method, path, rawQuery, canonicalHeaders, names.join(';'), sha256Hex(body)].join('\n');
  const date = utcDate(timestamp);
  const toSign = ['TC3-HMAC-SHA256', timestamp, `${date}/${service}/tc3_request`, sha256Hex(canonical)].join('\n');
  const key = [date, service, 'tc3_request'].reduce(hmac, `TC3${secretKey}`);
  return hmac(key, toSign).toString('hex');
}

const hmac = (key, text) => Buffer.from(Sign.sign(key, text, 'HmacSHA256'), 'base64');
const sha256Hex = (data) => createHash('sha256').update(data).digest('hex');
const utcDate = (seconds) => new Date(Number(seconds) * 1000).toISOString().slice(0, 10);

function readParameters(body) {
  const asked = readJsonObject(body);
  if (asked === null) throw new Refusal('InvalidParameter', 'The request body is not a JSON object.');
  for (const [name, value] of Object.entries(asked)) {
    if (!Object.hasOwn(PARAMETERS, name)) {
      throw new Refusal('UnknownParameter', `The parameter \`${name}\` is not recognized.`);
    }
    if (!hasType(value, PARAMETERS[name])) {
      throw new Refusal('InvalidParameter', `The value type of parameter \`${name}\` is not valid.`);
    }
  }
  for (const name of REQUIRED) {
    if (!Object.hasOwn(asked, name)) {
      throw new Refusal('MissingParameter', `The request is missing a required parameter \`${name}\`.`);
    }
  }
  if (asked.PhoneNumberSet.length === 0) {
    throw new Refusal('MissingParameter.EmptyPhoneNumberSet', 'The phone number set is empty.');
  }
  if (asked.PhoneNumberSet.length > MAX_NUMBERS) {
    throw new Refusal('LimitExceeded.PhoneNumberCountLimit', `More than ${MAX_NUMBERS} phone numbers in one request.`);
  }
  if (Buffer.byteLength(asked.SessionContext ?? '') > MAX_SESSION_CONTEXT_BYTES) {
    throw new Refusal('InvalidParameterValue', `SessionContext is longer than ${MAX_SESSION_CONTEXT_BYTES} bytes.`);
  }
  return asked;
}

function hasType(value, type) {
  if (type === 'string') return typeof value === 'string';
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function sendOne(account, asked, number, faultCode) {
  const [, phone] = MAINLAND_NUMBER.exec(number) ?? [];
  const code = whyNotSent(account, asked, phone) ?? faultCode;
  if (code) {
    const Message = MESSAGE.get(code) ?? 'refused by the sandbox';
    return { SerialNo: '', PhoneNumber: number, Fee: 0, SessionContext: '', Code: code, Message, IsoCode: '' };
  }
  account.messages.record({
    at: account.now(),
    channel: 'sms',
    to: phone,
    template_id: asked.TemplateId,
    params: asked.TemplateParamSet ?? [],
  });
  return {
    SerialNo: `2640:${account.now()}${randomInt(1e9, 1e10)}`,
    PhoneNumber: number,
    Fee: 1,
    SessionContext: asked.SessionContext ?? '',
    Code: 'Ok',
    Message: 'send success',
    IsoCode: 'CN',
  };
}

function whyNotSent({ signName, templates }, asked, phone) {
  if (phone === undefined) return 'InvalidParameterValue.IncorrectPhoneNumber';
  if (asked.SignName !== signName) return 'FailedOperation.SignatureIncorrectOrUnapproved';
  const approved = templates === null ? /^\d+$/.test(asked.TemplateId) : templates.has(asked.TemplateId);
  return approved ? undefined : 'FailedOperation.TemplateIncorrectOrUnapproved';
}
