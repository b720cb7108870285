// What the imitated vendors delivered, kept so that a test or a demo can read a customer's phone.

/** Messages kept in total; the oldest goes first. */
export const MAX_MESSAGES = 2_000;
/** Messages kept for one recipient, so that one loop cannot push out everybody else's. */
export const MAX_PER_RECIPIENT = 50;

export class Messages {
  #kept = []; // oldest first
  #countByRecipient = new Map();

  /** @param message `{at, channel, to, template_id, params}`; `at` in UTC milliseconds. */
  record(message) {
    const count = this.#countByRecipient.get(message.to) ?? 0;
    if (count >= MAX_PER_RECIPIENT) {
      this.#forget(this.#kept.findIndex((kept) => kept.to === message.to));
    } else if (this.#kept.length >= MAX_MESSAGES) {
      this.#forget(0);
    }
    this.#kept.push(message);
    this.#countByRecipient.set(message.to, (this.#countByRecipient.get(message.to) ?? 0) + 1);
  }

  /** Messages to `to` at or after `since` (UTC milliseconds), newest last. */
  list(to, since = 0) {
    return this.#kept.filter((message) => message.to === to && message.at >= since);
  }

  #forget(index) {
    const [{ to }] = this.#kept.splice(index, 1);
    const left = this.#countByRecipient.get(to) - 1;
    if (left === 0) this.#countByRecipient.delete(to);
    else this.#countByRecipient.set(to, left);
  }
}
