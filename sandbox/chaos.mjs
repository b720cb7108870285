// Random trouble at the payment vendors, the same for the same seed: each call and each notification asks
// in turn, from a stream of its own.

/** What may happen to a call; the rest of KINDS happens to notifications. */
const CALL_KINDS = {
  error500: { kind: 'error500' },
  drop: { kind: 'drop' },
  after_drop: { kind: 'drop', after: true },
  after_error500: { kind: 'error500', after: true },
  hang: { kind: 'hang', hang_ms: 2_000 }, // long enough to make a caller wait, short enough to run often
};
const NOTIFICATION_KINDS = ['lose', 'delay', 'repeat', 'reorder'];
export const KINDS = [...Object.keys(CALL_KINDS), ...NOTIFICATION_KINDS];
/** The longest random delay of a notification. */
export const MAX_DELAY_MS = 3_000;

export class Chaos {
  #providers;
  #current = null;

  /** @param providers the names of those it strikes */
  constructor(providers) {
    this.#providers = providers;
  }

  start({ seed, probability, kinds = KINDS }) {
    const only = (names) => names.filter((name) => kinds.includes(name));
    this.#current = {
      seed,
      probability,
      kinds,
      calls: { next: generator(seed), kinds: only(Object.keys(CALL_KINDS)) },
      notifications: { next: generator(seed ^ 0x5bd1e995), kinds: only(NOTIFICATION_KINDS) },
    };
  }

  stop() {
    this.#current = null;
  }

  describe() {
    if (this.#current === null) return null;
    const { seed, probability, kinds } = this.#current;
    return { seed, probability, kinds };
  }

  /** A transport fault for this call, as faults.mjs plays them, or undefined. */
  call(provider) {
    if (!this.#providers.includes(provider)) return undefined;
    return CALL_KINDS[this.#draw('calls')?.kind];
  }

  /** `{kind, delay_ms}` for this notification, or undefined. */
  notification() {
    return this.#draw('notifications');
  }

  #draw(stream) {
    if (this.#current === null) return undefined;
    const { next, kinds } = this.#current[stream];
    // Always three draws, so that what one call meets does not depend on what others met.
    const [chance, choice, size] = [next(), next(), next()];
    if (kinds.length === 0 || chance >= this.#current.probability) return undefined;
    return { kind: kinds[Math.floor(choice * kinds.length)], delay_ms: Math.floor(size * MAX_DELAY_MS) };
  }
}

/** mulberry32: numbers from 0 to 1 out of 32 bits of state. */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
