// China's clock, which the payment vendors write: UTC+8 the year round.

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;
const OFFSET_MS = 8 * HOUR_MS;

const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;
const PLAIN = /^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$/;

const iso = (at) => new Date(at + OFFSET_MS).toISOString();

/** `2026-03-01T12:00:00+08:00` */
export const rfc3339 = (at) => `${iso(at).slice(0, 19)}+08:00`;
/** `2026-03-01 12:00:00` */
export const plainTime = (at) => iso(at).slice(0, 19).replace('T', ' ');
/** `2026-03-01` */
export const date = (at) => iso(at).slice(0, 10);
/** The start of a day written `2026-03-01`, in UTC milliseconds; NaN for what is no day. */
export function dayStart(text) {
  const at = Date.parse(`${text}T00:00:00+08:00`);
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(at) && date(at) === text ? at : NaN;
}

/** UTC milliseconds, or NaN. */
export const parseRfc3339 = (text) => (RFC3339.test(text) ? Date.parse(text) : NaN);

/** UTC milliseconds of `2026-03-01 12:00:00` in China, or NaN; 31 February is NaN too. */
export function parsePlainTime(text) {
  const at = PLAIN.test(text) ? Date.parse(`${text.replace(' ', 'T')}+08:00`) : NaN;
  return !Number.isNaN(at) && plainTime(at) === text ? at : NaN;
}
