//! The bill itself: a zip of CSV files in GBK. Unpacking (deflate) and decoding (GBK) are the host's,
//! which has both built in; here is where the packed bytes lie, and what the text says.
//!
//! Sources: PKWARE's APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16, for the zip; for the text the file
//! that the merchant's page gives: lines of `#` around a heading and rows whose cells end with a tab.
//! Columns are found by their heading, so that one more of them does no harm.

use thiserror::Error;

use crate::payment::{fen_of_yuan, is_id};

/// The longest file read, packed or unpacked, in bytes.
pub const MAX_BILL_BYTES: usize = 16 * 1024 * 1024;
/// The most files taken out of one zip; there are two.
const MAX_FILES: usize = 16;

/// Why a file is no bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadBill {
    /// It is no zip, or one whose parts lie outside it.
    #[error("it is not the zip it should be")]
    NotAZip,
    /// It is packed in a way that is not used for bills.
    #[error("a file of the zip is packed in another way")]
    OtherPacking,
    /// It has no heading with the columns that are read.
    #[error("the heading is missing")]
    NoHeading,
    /// A line cannot be read.
    #[error("line {0} cannot be read")]
    Malformed(usize),
}

/// A file of a zip, as it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Whether they are raw deflate; stored as they are otherwise.
    pub deflated: bool,
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    Some(field.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

/// The files of a zip, by its central directory.
///
/// # Errors
/// [`BadBill::NotAZip`], [`BadBill::OtherPacking`].
pub fn unzip(zip: &[u8]) -> Result<Vec<Packed<'_>>, BadBill> {
    const END: &[u8] = b"PK\x05\x06";
    const ENTRY: &[u8] = b"PK\x01\x02";
    const LOCAL: &[u8] = b"PK\x03\x04";
    let at_end = zip.windows(END.len()).rposition(|four| four == END).ok_or(BadBill::NotAZip)?;
    let read = || {
        let count = number(zip, at_end + 10, 2)?;
        let mut at = number(zip, at_end + 16, 4)?;
        let mut files = Vec::new();
        for _ in 0..count.min(MAX_FILES) {
            if zip.get(at..at + 4)? != ENTRY {
                return None;
            }
            let method = number(zip, at + 10, 2)?;
            let packed = number(zip, at + 20, 4)?;
            let [name, extra, comment] =
                [28, 30, 32].map(|field| number(zip, at + field, 2).unwrap_or(usize::MAX >> 8));
            let local = number(zip, at + 42, 4)?;
            if zip.get(local..local.checked_add(4)?)? != LOCAL {
                return None;
            }
            let from = local + 30 + number(zip, local + 26, 2)? + number(zip, local + 28, 2)?;
            files.push((method, zip.get(from..from.checked_add(packed)?)?));
            at = at.checked_add(46 + name + extra + comment)?;
        }
        Some(files)
    };
    read()
        .ok_or(BadBill::NotAZip)?
        .into_iter()
        .map(|(method, bytes)| match method {
            0 => Ok(Packed { bytes, deflated: false }),
            8 => Ok(Packed { bytes, deflated: true }),
            _ => Err(BadBill::OtherPacking),
        })
        .collect()
}

/// A row of a bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillRow {
    /// Our number of the order.
    pub out_trade_no: String,
    /// Our number of the refund; a payment has none.
    pub out_refund_no: Option<String>,
    /// In fen, whichever way it went.
    pub amount_fen: i64,
}

/// Reads the list of payments and refunds; `None` for the other file of the zip, the summary.
///
/// # Errors
/// [`BadBill::NoHeading`], [`BadBill::Malformed`].
pub fn rows(text: &str) -> Result<Option<Vec<BillRow>>, BadBill> {
    if !text.contains("业务明细列表") {
        return Ok(None);
    }
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
    let (_, heading) = lines.next().ok_or(BadBill::NoHeading)?;
    let heading: Vec<&str> = cells(heading);
    let column = |name: &str| {
        heading.iter().position(|cell| cell.starts_with(name)).ok_or(BadBill::NoHeading)
    };
    let (order, kind, amount, refund) =
        (column("商户订单号")?, column("业务类型")?, column("订单金额")?, column("退款批次号")?);
    lines
        .map(|(index, line)| {
            let cells = cells(line);
            let cell = |at: usize| cells.get(at).copied().unwrap_or_default();
            let fen = fen_of_yuan(cell(amount).trim_start_matches('-'));
            let refund_no = cell(refund);
            let back = cell(kind) == "退款";
            match fen {
                Some(amount_fen) if is_id(cell(order)) && (!back || is_id(refund_no)) => {
                    Ok(BillRow {
                        out_trade_no: cell(order).to_owned(),
                        out_refund_no: back.then(|| refund_no.to_owned()),
                        amount_fen,
                    })
                }
                _ => Err(BadBill::Malformed(index + 1)),
            }
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

fn cells(line: &str) -> Vec<&str> {
    line.split(',').map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two files, one stored and one deflated (its bytes are not unpacked here).
    fn zip() -> Vec<u8> {
        let mut zip = Vec::new();
        let mut directory = Vec::new();
        for (method, name, bytes) in [(0_u16, "a", b"hello".as_slice()), (8, "bb", b"xyz")] {
            let at = u32::try_from(zip.len()).unwrap();
            let length = u32::try_from(bytes.len()).unwrap();
            let named = u16::try_from(name.len()).unwrap();
            zip.extend(b"PK\x03\x04");
            zip.extend([20, 0, 0, 0]);
            zip.extend(method.to_le_bytes());
            zip.extend([0; 8]);
            zip.extend(length.to_le_bytes());
            zip.extend(length.to_le_bytes());
            zip.extend(named.to_le_bytes());
            zip.extend([0, 0]);
            zip.extend(name.as_bytes());
            zip.extend(bytes);
            directory.extend(b"PK\x01\x02");
            directory.extend([20, 0, 20, 0, 0, 0]);
            directory.extend(method.to_le_bytes());
            directory.extend([0; 8]);
            directory.extend(length.to_le_bytes());
            directory.extend(length.to_le_bytes());
            directory.extend(named.to_le_bytes());
            directory.extend([0; 12]);
            directory.extend(at.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let at = u32::try_from(zip.len()).unwrap();
        let length = u32::try_from(directory.len()).unwrap();
        zip.extend(&directory);
        zip.extend(b"PK\x05\x06");
        zip.extend([0, 0, 0, 0, 2, 0, 2, 0]);
        zip.extend(length.to_le_bytes());
        zip.extend(at.to_le_bytes());
        zip.extend([0, 0]);
        zip
    }

    #[test]
    fn files_are_found_by_the_directory() {
        let zip = zip();
        let files = unzip(&zip).unwrap();
        assert_eq!(
            files,
            [Packed { bytes: b"hello", deflated: false }, Packed { bytes: b"xyz", deflated: true },]
        );
    }

    #[test]
    fn a_broken_zip_is_refused_and_never_read_past_its_end() {
        let whole = zip();
        assert_eq!(unzip(b""), Err(BadBill::NotAZip));
        for end in 0..whole.len() {
            let _ = unzip(&whole[..end]);
        }
        for at in 0..whole.len() {
            for byte in [0, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                let _ = unzip(&damaged);
            }
        }
    }

    #[test]
    fn payments_and_refunds_are_read_by_their_columns() {
        let text = "#支付宝业务明细查询\r\n#-----业务明细列表-----\r\n\
            支付宝交易号,商户订单号,业务类型,商品名称,订单金额（元）,退款批次号/请求号,备注\r\n\
            20261125\t,T00001\t,交易\t,按摩\t,198.00\t,\t,\t\r\n\
            20261125\t,T00001\t,退款\t,按摩\t,-98.50\t,R1\t,\t\r\n\
            #-----业务明细列表结束-----\r\n#交易合计：1笔\r\n";
        let read = rows(text).unwrap().unwrap();
        let row = |refund: Option<&str>, amount_fen| BillRow {
            out_trade_no: "T00001".to_owned(),
            out_refund_no: refund.map(str::to_owned),
            amount_fen,
        };
        assert_eq!(read, [row(None, 19_800), row(Some("R1"), 9_850)]);
        assert_eq!(rows("#支付宝业务汇总查询\r\n合计,1\r\n"), Ok(None));
        assert_eq!(rows("#业务明细列表\r\n"), Err(BadBill::NoHeading));
        assert_eq!(rows(&text.replace("198.00", "1e2")), Err(BadBill::Malformed(4)));
        assert_eq!(rows(&text.replace("R1", "")), Err(BadBill::Malformed(5)));
    }
}
