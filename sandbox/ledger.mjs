// Every order at the imitated payment vendors, whichever vendor it is at: what an audit reads, and what
// the customer's side of a payment is played on.
//
// An order is `{provider, merchant, out_trade_no, trade_type, total, state, transaction_id, created_at,
// paid_at, …}` and what its vendor keeps besides. Money is in fen. The ledger adds `refunds`
// (`{out_refund_no, refund_id, amount, status, created_at, ended_at, …}`) and `notifications`
// (what was sent about it, and what the merchant answered).

/** The most orders kept; the oldest tenth goes at once, its money stays in the totals. */
export const MAX_ORDERS = 200_000;
/** The most lines about notifications kept for one order. */
export const MAX_NOTIFICATIONS = 100;

export class Ledger {
  #byNumber = new Map();
  #byTransaction = new Map();
  #list = []; // oldest first
  #forgotten = 0; // how many are gone from the front of the list
  #forgottenMoney = new Map();
  #limit;

  constructor(limit = MAX_ORDERS) {
    this.#limit = limit;
  }

  add(order) {
    if (this.#list.length >= this.#limit) this.#forget(Math.ceil(this.#limit / 10));
    Object.assign(order, { refunds: [], notifications: [] });
    this.#byNumber.set(key(order.provider, order.out_trade_no), order);
    this.#list.push(order);
    return order;
  }

  find(provider, outTradeNo) {
    return this.#byNumber.get(key(provider, outTradeNo));
  }

  findTransaction(provider, transactionId) {
    return this.#byTransaction.get(key(provider, transactionId));
  }

  /** Called once for an order, when it gets its vendor's number. */
  name(order, transactionId) {
    order.transaction_id = transactionId;
    this.#byTransaction.set(key(order.provider, transactionId), order);
  }

  /**
   * The refund of that number at a vendor, with its order. Merchants' refund numbers are unique at WeChat
   * Pay only; Alipay's are unique within an order.
   */
  findRefund(provider, outRefundNo) {
    return this.#byNumber.get(key(`${provider} refund`, outRefundNo));
  }

  addRefund(order, refund) {
    order.refunds.push(refund);
    this.#byNumber.set(key(`${order.provider} refund`, refund.out_refund_no), { order, refund });
    return refund;
  }

  /** @returns up to `limit` orders after `cursor` (a number from an earlier page; 0: from the start) */
  page(cursor, limit) {
    const from = Math.max(cursor - this.#forgotten, 0);
    const orders = this.#list.slice(from, from + limit);
    const next = from + orders.length;
    return { orders, next: next < this.#list.length ? next + this.#forgotten : null };
  }

  all() {
    return this.#list.values();
  }

  /** Money that came in and went out, a line for each merchant at each vendor. */
  money() {
    const lines = new Map([...this.#forgottenMoney].map(([name, line]) => [name, { ...line }]));
    for (const order of this.#list) count(lines, order);
    return [...lines.values()];
  }

  #forget(howMany) {
    for (const order of this.#list.splice(0, howMany)) {
      count(this.#forgottenMoney, order);
      this.#byNumber.delete(key(order.provider, order.out_trade_no));
      this.#byTransaction.delete(key(order.provider, order.transaction_id));
      for (const { out_refund_no: no } of order.refunds) this.#byNumber.delete(key(`${order.provider} refund`, no));
    }
    this.#forgotten += howMany;
  }
}

const key = (space, number) => `${space} ${number}`;

/** What may still be refunded: a refund counts from the moment it is accepted, unless it came to nothing. */
export function refundable(order) {
  return order.total - sum(order.refunds.filter((refund) => refund.status !== 'CLOSED'));
}

export const refunded = (order) => sum(order.refunds.filter((refund) => refund.status === 'SUCCESS'));

const sum = (refunds) => refunds.reduce((total, refund) => total + refund.amount, 0);

function count(lines, order) {
  if (order.paid_at === undefined) return;
  const name = key(order.provider, order.merchant);
  if (!lines.has(name)) {
    const { provider, merchant } = order;
    lines.set(name, { provider, merchant, payments: 0, paid: 0, refunds: 0, refunded: 0, refunding: 0 });
  }
  const line = lines.get(name);
  line.payments += 1;
  line.paid += order.total;
  const done = order.refunds.filter((refund) => refund.status === 'SUCCESS');
  line.refunds += done.length;
  line.refunded += sum(done);
  line.refunding += sum(order.refunds.filter(({ status }) => status === 'PROCESSING' || status === 'ABNORMAL'));
}

/** Writes down what became of one notification. */
export function record(order, line) {
  order.notifications.push(line);
  if (order.notifications.length > MAX_NOTIFICATIONS) order.notifications.shift();
}
