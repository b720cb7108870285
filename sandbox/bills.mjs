// The files merchants reconcile with: one day's payments and refunds, in the vendors' formats.
// A day is China's; a payment or refund belongs to the day it succeeded on.

import { crc32 } from 'node:zlib';

import { DAY_MS, date, dayStart, plainTime } from './china-time.mjs';

/** WeChat Pay's fee, of what is paid, and given back with refunds. */
const FEE_RATE = 0.006;

const yuan = (fen) => (fen / 100).toFixed(2);
const fee = (fen) => Math.round(fen * FEE_RATE);

/** Payments and refunds of a provider that succeeded on a day, by time: `{at, order, refund?}`. */
function eventsOf(ledger, provider, day) {
  const start = dayStart(day);
  const on = (at) => at >= start && at < start + DAY_MS;
  const events = [];
  for (const order of ledger.all()) {
    if (order.provider !== provider) continue;
    if (order.paid_at !== undefined && on(order.paid_at)) events.push({ at: order.paid_at, order });
    for (const refund of order.refunds) {
      if (refund.status === 'SUCCESS' && on(refund.ended_at)) events.push({ at: refund.ended_at, order, refund });
    }
  }
  return events.sort((one, other) => one.at - other.at);
}

// --- WeChat Pay: UTF-8 with a byte order mark; every cell begins with a backtick; yuan ---

const REFUND_COLUMNS = ['微信退款单号', '商户退款单号', '退款金额', '充值券退款金额', '退款类型', '退款状态', '申请退款金额'];
const REFUND_TIMES = ['退款申请时间', '退款成功时间'];

/** @returns the file, or null when there is nothing in it */
export function tradeBill({ ledger, appid, mchid }, day, type = 'ALL') {
  const events = eventsOf(ledger, 'wechat_pay', day)
    .filter(({ refund }) => type === 'ALL' || (type === 'REFUND') === (refund !== undefined));
  if (events.length === 0) return null;
  const leftOut = { ALL: REFUND_TIMES, SUCCESS: [...REFUND_COLUMNS, ...REFUND_TIMES], REFUND: [] }[type];
  const rows = events.map((event) => {
    const row = Object.entries(tradeRow(event, appid, mchid));
    return Object.fromEntries(row.filter(([column]) => !leftOut.includes(column)));
  });
  const total = (of) => events.reduce((sum, event) => sum + of(event), 0);
  const paid = total(({ order, refund }) => (refund ? 0 : order.total));
  const back = total(({ refund }) => refund?.amount ?? 0);
  const fees = total(({ order, refund }) => (refund ? -fee(refund.amount) : fee(order.total)));
  return table(rows, {
    总交易单数: rows.length,
    应结订单总金额: yuan(paid),
    退款总金额: yuan(back),
    充值券退款总金额: '0.00',
    手续费总金额: `${yuan(fees)}000`,
    订单总金额: yuan(paid),
    申请退款总金额: yuan(back),
  });
}

function tradeRow({ at, order, refund }, appid, mchid) {
  return {
    交易时间: plainTime(at),
    公众账号ID: appid,
    商户号: mchid,
    特约商户号: '0',
    设备号: '',
    微信订单号: order.transaction_id,
    商户订单号: order.out_trade_no,
    用户标识: order.payer_openid,
    交易类型: order.trade_type,
    交易状态: refund ? 'REFUND' : 'SUCCESS',
    付款银行: 'OTHERS',
    货币种类: 'CNY',
    应结订单金额: refund ? '0.00' : yuan(order.total),
    代金券金额: refund ? '0.00' : yuan(order.total - order.payer_total),
    ...(refund && { 退款申请时间: plainTime(refund.created_at), 退款成功时间: plainTime(refund.ended_at) }),
    微信退款单号: refund?.refund_id ?? '0',
    商户退款单号: refund?.out_refund_no ?? '0',
    退款金额: yuan(refund?.amount ?? 0),
    充值券退款金额: '0.00',
    退款类型: refund ? 'ORIGINAL' : '',
    退款状态: refund ? 'SUCCESS' : '',
    商品名称: plain(order.description),
    商户数据包: plain(order.attach ?? ''),
    手续费: `${yuan(refund ? -fee(refund.amount) : fee(order.total))}000`,
    费率: '0.60%',
    订单金额: refund ? '0.00' : yuan(order.total),
    申请退款金额: yuan(refund?.amount ?? 0),
    费率备注: '',
  };
}

/** @returns the file, or null when there is nothing in it; all our money is in the basic account */
export function fundFlowBill({ ledger, mchid }, day, account = 'BASIC') {
  if (account !== 'BASIC' && account !== 'ALL') return null;
  let balance = 0;
  const rows = [];
  const move = (at, order, id, type, fen, note, voucher) => {
    if (fen === 0) return;
    balance += fen;
    rows.push({
      记账时间: plainTime(at),
      微信支付业务单号: id,
      资金流水单号: order.transaction_id,
      业务名称: type === '扣除交易手续费' ? '交易' : type,
      业务类型: type,
      收支类型: fen > 0 ? '收入' : '支出',
      '收支金额(元)': yuan(Math.abs(fen)),
      '账户结余(元)': yuan(balance),
      资金变更提交申请人: type === '退款' ? `${mchid}API` : 'system',
      备注: note,
      业务凭证号: voucher,
    });
  };
  for (const { at, order, refund } of eventsOf(ledger, 'wechat_pay', day)) {
    if (refund) {
      const [back, feeBack] = [yuan(refund.amount), yuan(fee(refund.amount))];
      const note = `退款总金额${back}元;含手续费${feeBack}元`;
      move(at, order, refund.refund_id, '退款', fee(refund.amount) - refund.amount, note, refund.out_refund_no);
    } else {
      move(at, order, order.transaction_id, '交易', order.total, '', order.out_trade_no);
      move(at, order, order.transaction_id, '扣除交易手续费', -fee(order.total), '', order.out_trade_no);
    }
  }
  if (rows.length === 0) return null;
  const of = (kind) => rows.filter((row) => row.收支类型 === kind);
  const sum = (some) => some.reduce((total, row) => total + Number(row['收支金额(元)']), 0).toFixed(2);
  const [income, expense] = [of('收入'), of('支出')];
  return table(rows, {
    资金流水总笔数: rows.length,
    收入笔数: income.length,
    收入金额: sum(income),
    支出笔数: expense.length,
    支出金额: sum(expense),
  });
}

function table(rows, totals) {
  const cells = (row) => Object.values(row).map((cell) => `\`${cell}`).join(',');
  const lines = [Object.keys(rows[0]).join(','), ...rows.map(cells), Object.keys(totals).join(','), cells(totals)];
  return `\ufeff${lines.join('\r\n')}\r\n`;
}

/** The vendor, too, keeps its separators out of texts. */
const plain = (text) => text.replace(/[,`\r\n]/g, ' ');

// --- Alipay: a zip of two CSV files in GBK; cells end with a tab, lines of # around them ---

const DETAIL_COLUMNS = [
  '支付宝交易号', '商户订单号', '业务类型', '商品名称', '创建时间', '完成时间', '门店编号', '门店名称', '操作员', '终端号',
  '对方账户', '订单金额（元）', '商家实收（元）', '支付宝红包（元）', '集分宝（元）', '支付宝优惠（元）', '商家优惠（元）',
  '券核销金额（元）', '券名称', '商家红包消费金额（元）', '卡消费金额（元）', '退款批次号/请求号', '服务费（元）', '分润（元）', '备注',
];

/** @returns the zip file, or null when there is nothing in it */
export function alipayBill({ ledger, sellerId, now }, day) {
  const events = eventsOf(ledger, 'alipay', day);
  if (events.length === 0) return null;
  const [year, month, dayOfMonth] = day.split('-');
  const head = (title) => [
    `#${title}`,
    `#账号：[${sellerId}]`,
    `#起始日期：[${year}年${month}月${dayOfMonth}日 00:00:00]   终止日期：[${date(dayStart(day) + DAY_MS)
      .replace(/(\d+)-(\d+)-(\d+)/, '$1年$2月$3日')} 00:00:00]`,
  ];
  const exported = `#导出时间：[${plainTime(now()).replace(/(\d+)-(\d+)-(\d+)/, '$1年$2月$3日')}]`;
  const rule = (title) => `#-----------------------------------------${title}------------------------------------`;
  const payments = events.filter(({ refund }) => !refund);
  const refunds = events.filter(({ refund }) => refund);
  const paid = yuan(payments.reduce((sum, { order }) => sum + order.total, 0));
  const back = yuan(refunds.reduce((sum, { refund }) => sum + refund.amount, 0));
  const details = [
    ...head('支付宝业务明细查询'),
    rule('业务明细列表'),
    DETAIL_COLUMNS.join(','),
    ...events.map(detailRow),
    rule('业务明细列表结束'),
    `#交易合计：${payments.length}笔，商家实收共${paid}元，商家优惠共0.00元`,
    `#退款合计：${refunds.length}笔，商家实收退款共${refunds.length > 0 ? '-' : ''}${back}元，商家优惠退款共0.00元`,
    exported,
  ];
  const summary = [
    ...head('支付宝业务汇总查询'),
    rule('业务汇总列表'),
    '门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）',
    ['合计', '', payments.length, refunds.length, paid, paid, '0.00', '0.00', '0.00', '0.00', '0.00',
      yuan(Math.round((Number(paid) - Number(back)) * 100))].map((cell) => `${cell}\t`).join(','),
    rule('业务汇总列表结束'),
    exported,
  ];
  const name = `${sellerId}0156_${day.replaceAll('-', '')}`;
  const file = (lines) => gbk(`${lines.join('\r\n')}\r\n`);
  return zip([
    [gbk(`${name}_业务明细.csv`), file(details)],
    [gbk(`${name}_业务明细(汇总).csv`), file(summary)],
  ]);
}

function detailRow({ at, order, refund }) {
  const amount = refund ? `-${yuan(refund.amount)}` : yuan(order.total);
  return [
    order.transaction_id, order.out_trade_no, refund ? '退款' : '交易', plain(order.subject),
    plainTime(order.paid_at), plainTime(at), '', '', '', '', order.buyer_logon_id, amount, amount,
    '0.00', '0.00', '0.00', '0.00', '0.00', '', '0.00', '0.00', refund?.out_refund_no ?? '', '0.00', '0.00', '',
  ].map((cell) => `${cell}\t`).join(',');
}

/** Node reads GBK and does not write it, so its reader is asked once for every pair of bytes there is. */
let gbkBytes = null;

function gbk(text) {
  gbkBytes ??= readGbkTable();
  const bytes = [];
  for (const character of text) {
    if (character <= '\x7f') bytes.push(character.charCodeAt(0));
    else bytes.push(...(gbkBytes.get(character) ?? [0x3f]));
  }
  return Buffer.from(bytes);
}

function readGbkTable() {
  const decoder = new TextDecoder('gbk');
  const found = new Map();
  for (let lead = 0x81; lead <= 0xfe; lead += 1) {
    for (let trail = 0x40; trail <= 0xfe; trail += 1) {
      const character = decoder.decode(Uint8Array.of(lead, trail));
      if ([...character].length === 1 && character !== '\ufffd') found.set(character, [lead, trail]);
    }
  }
  return found;
}

/** A zip file whose entries are stored as they are (PKWARE's APPNOTE 6.3, methods 0). */
export function zip(entries) {
  const locals = [];
  const directory = [];
  let offset = 0;
  for (const [name, content] of entries) {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(10, 0); // version needed; flags, method, time stay 0
    common.writeUInt16LE(0x21, 8); // the first day of DOS
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(content.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, name, content]);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    directory.push(Buffer.from('PK\x01\x02\x0a\x00', 'latin1'), common, place, name);
    locals.push(local);
    offset += local.length;
  }
  const index = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(index.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...locals, index, Buffer.from('PK\x05\x06', 'latin1'), end]);
}
