// Faults somebody ordered through /sandbox/faults. Transport faults are the same for every provider and
// are played here; the others are passed to the provider, which knows how its vendor words them.

/** What the network or a broken server does; no provider has a say in it. */
export const TRANSPORT_KINDS = ['delay', 'hang', 'drop', 'garbage', 'error500'];

/** The most faults that wait at a time; a test that forgets to clear them hits this, not the memory. */
export const MAX_FAULTS = 100;
/** The longest delay, and how long `hang` holds a caller that does not give up by itself. */
export const MAX_DELAY_MS = 60_000;
/** The delay when none is named. */
export const DEFAULT_DELAY_MS = 1_000;

export const isTransport = (fault) => TRANSPORT_KINDS.includes(fault.kind);

/** The faults that wait for their call, in the order they were added. */
export class Faults {
  #random;
  #chaos;
  #waiting = new Map();
  #lastId = 0;

  /** @param chaos strikes where no ordered fault does; see chaos.mjs */
  constructor(random, chaos) {
    this.#random = random;
    this.#chaos = chaos;
  }

  /** @returns the new fault's id, or null when MAX_FAULTS wait already. */
  add({ provider, path, operation, kind, errcode, delay_ms, times = 1, probability = 1, after = false }) {
    if (this.#waiting.size >= MAX_FAULTS) return null;
    this.#lastId += 1;
    const id = `fault-${this.#lastId}`;
    this.#waiting.set(id, { id, provider, path, operation, kind, errcode, delay_ms, times, probability, after });
    return id;
  }

  list() {
    return [...this.#waiting.values()];
  }

  /** @returns how many were cleared. */
  clear() {
    const count = this.#waiting.size;
    this.#waiting.clear();
    return count;
  }

  /** The oldest fault that strikes this call, or undefined. A call suffers one fault at most. */
  take(provider, path, operation) {
    for (const fault of this.#waiting.values()) {
      if (fault.provider !== provider) continue;
      if (fault.path !== undefined && fault.path !== path) continue;
      if (fault.operation !== undefined && fault.operation !== operation) continue;
      if (this.#random() >= fault.probability) continue;
      fault.times -= 1;
      if (fault.times === 0) this.#waiting.delete(fault.id);
      return fault;
    }
    return this.#chaos?.call(provider);
  }
}

/**
 * Plays a transport fault.
 * @returns true when the response is over, false when the ordinary answer is still to be given.
 */
export async function playTransport(fault, response, sleep) {
  switch (fault.kind) {
    case 'delay':
      await sleep(fault.delay_ms ?? DEFAULT_DELAY_MS, closed(response));
      return false;
    case 'hang':
      await sleep(fault.hang_ms ?? MAX_DELAY_MS, closed(response));
      response.destroy();
      return true;
    case 'drop':
      response.destroy();
      return true;
    case 'garbage':
      // What a proxy in between likes to say: 200, and nothing a JSON parser takes.
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end('<html><body>temporarily unavailable</body></html>');
      return true;
    case 'error500':
      response.writeHead(500, { 'content-type': 'text/plain' });
      response.end('Internal Server Error');
      return true;
    default:
      throw new Error(`${fault.kind} is not a transport fault`);
  }
}

/** A signal that fires when the caller is gone, so that no timer outlives it. */
function closed(response) {
  const controller = new AbortController();
  response.once('close', () => controller.abort());
  if (response.destroyed) controller.abort();
  return controller.signal;
}
