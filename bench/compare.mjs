// Measuring two or more things against each other: in short rounds, by turns, in the same minutes, so
// that what the machine does besides falls on all of them alike.

export const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/**
 * @param load the load generator
 * @param sides [{name, worker, job}]: `job` is what load.mjs takes, without its port and seconds
 * @returns for each side the medians of its rounds, and `rounds`, one object a round and side
 */
export async function compare(load, sides, { rounds, seconds, warmUpSeconds = 3, onRound = () => {} }) {
  const cursors = sides.map((side) => side.job.from ?? 0);
  const results = sides.map(() => []);
  const once = async (index, howLong, round) => {
    const { worker, job } = sides[index];
    const asked = typeof job === 'function' ? await job(round) : job;
    const before = worker.cpu();
    const result = await load.run({ ...asked, from: cursors[index], port: worker.port, seconds: howLong });
    if (asked.list && !asked.fresh) cursors[index] = result.next;
    result.settle = await worker.settle();
    // What goes on after the answers is the requests' as well.
    const answered = Object.values(result.statuses).reduce((sum, count) => sum + count, 0);
    result.total = answered;
    result.cpu = (worker.cpu() - before) / answered;
    result.errors = Object.entries(result.statuses)
      .filter(([status]) => Number(status) !== asked.want && !(asked.allowed ?? []).includes(Number(status)))
      .reduce((sum, [, count]) => sum + count, 0);
    if (result.ranOut) throw new Error(`${sides[index].name}: the list of requests is at its end`);
    return result;
  };
  for (let index = 0; index < sides.length; index++) await once(index, warmUpSeconds, -1);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < sides.length; turn++) {
      // By turns the first one, too.
      const index = round % 2 ? sides.length - 1 - turn : turn;
      const result = await once(index, seconds, round);
      results[index].push(result);
      onRound(sides[index].name, round, result);
    }
  }
  return sides.map(({ name }, index) => {
    const list = results[index];
    const of = (field) => median(list.map((result) => result[field]));
    return {
      name, rounds: list, rate: of('rate'), p50: of('p50'), p99: of('p99'),
      errors: list.reduce((sum, result) => sum + result.errors, 0),
      others: list.flatMap((result) => result.others),
      cpu: of('cpu'), next: cursors[index],
      settle: Math.max(...list.map((result) => result.settle)),
    };
  });
}

/** The median of what is made of each round of two sides. */
export const perRound = (a, b, make) => median(a.rounds.map((round, index) => make(round, b.rounds[index])));
