// How the control calls read what they are given. They are strict, since a misspelt field in a test
// would silently test nothing.

import { readJsonObject } from './http.mjs';

/** Thrown for a call we do not understand; becomes a 400. */
export class BadRequest extends Error {}

export const text = (pattern, rule) => ({ rule, ok: (value) => typeof value === 'string' && pattern.test(value) });
export const number = (min, max, rule) => ({
  rule,
  ok: (value) => typeof value === 'number' && value >= min && value <= max,
});
export const integer = (min, max) => ({
  rule: `an integer from ${min} to ${max}`,
  ok: (value) => Number.isInteger(value) && value >= min && value <= max,
});
export const flag = { rule: 'true or false', ok: (value) => typeof value === 'boolean' };
export const oneOf = (names) => ({ rule: `one of: ${names.join(', ')}`, ok: (value) => names.includes(value) });
export const listOf = (names) => ({
  rule: `a list of: ${names.join(', ')}`,
  ok: (value) => Array.isArray(value) && value.length > 0 && value.every((one) => names.includes(one)),
});
export const required = (field) => ({ ...field, required: true });

/** An absent body counts as `{}`, so that `curl -X POST` is enough where nothing is required. */
export function readFields(body, fields) {
  const value = body.length === 0 ? {} : readJsonObject(body);
  if (value === null) throw new BadRequest('the body must be a JSON object');
  return checkFields(value, fields);
}

export function checkFields(value, fields) {
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(fields, name)) {
      throw new BadRequest(`unknown field "${name}"; known: ${Object.keys(fields).join(', ')}`);
    }
    if (!fields[name].ok(value[name])) throw new BadRequest(`${name} must be ${fields[name].rule}`);
  }
  for (const [name, field] of Object.entries(fields)) {
    if (field.required && !Object.hasOwn(value, name)) throw new BadRequest(`${name} is missing: ${field.rule}`);
  }
  return value;
}
