// When a cron expression of wrangler.toml is due. Only the forms that stand there: *, */n, numbers
// and lists of them.

/** @param {string} cron five fields, UTC @param {Date} at */
export function isDue(cron, at) {
  const now = [at.getUTCMinutes(), at.getUTCHours(), at.getUTCDate(), at.getUTCMonth() + 1, at.getUTCDay() + 1];
  return cron.split(' ').every((field, index) => {
    const [, every, numbers] = /^(?:\*(?:\/(\d+))?|(\d+(?:,\d+)*))$/.exec(field) ?? [];
    if (numbers !== undefined) return numbers.split(',').map(Number).includes(now[index]);
    if (!field.startsWith('*')) throw new Error(`cron ${cron}: ${field} is not understood here`);
    return every === undefined || now[index] % Number(every) === 0;
  });
}
