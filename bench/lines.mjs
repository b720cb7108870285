// How the rows of the table say what they found.

export const number = (value, digits = 0) => value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const bytes = (count) => `${number(count / 1000)} kB`;
export const side = ({ rate, p50, p99 }) => `${number(rate)}/s, p50 ${number(p50, 1)} ms, p99 ${number(p99, 1)} ms`;
export const errors = (sides) => {
  const count = sides.reduce((sum, one) => sum + one.errors, 0);
  return { what: 'answers that were not wanted', figure: number(count), beside: '', goal: '0', ok: count === 0 };
};

/** One request, to see how many bytes its answer has. */
export async function post(worker, { path, headers, body }, want) {
  const answer = await fetch(worker.url + path, {
    method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body,
  });
  const text = await answer.text();
  if (answer.status !== want) throw new Error(`${path}: ${answer.status} ${text}`);
  return Buffer.byteLength(text);
}
