//! As much of DER (ITU-T X.690) as it takes to find an RSA key in a file and the key and serial
//! number in a certificate (RFC 5280, section 4.1). Exact and strict: a length has one spelling, and
//! nothing may follow the last element.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const SEQUENCE: u8 = 0x30;
/// The context tag `[0]`, constructed: a certificate's version.
const VERSION: u8 = 0xa0;

/// `AlgorithmIdentifier { rsaEncryption, NULL }` (RFC 8017, appendix A.1), without its outer tag.
const RSA_ENCRYPTION: [u8; 13] =
    [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// The lengths of RSA moduli taken, in bits.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// One element: its content, and with its tag and length as it stands in the file.
pub(super) struct Element<'a> {
    pub whole: &'a [u8],
    pub content: &'a [u8],
}

/// Reads elements one after the other.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next element, if it has this tag.
    pub fn element(&mut self, tag: u8) -> Option<Element<'a>> {
        let (&[found, first], rest) = self.0.split_first_chunk()?;
        if found != tag {
            return None;
        }
        let (header, length) = match first {
            0..=0x7f => (2, usize::from(first)),
            0x81..=0x83 => {
                let digits = rest.get(..usize::from(first & 0x7f))?;
                let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
                // The one spelling is the shortest.
                let shortest = length >= 0x80 && digits.first() != Some(&0);
                shortest.then_some((2 + digits.len(), length))?
            }
            _ => return None,
        };
        let (whole, rest) = self.0.split_at_checked(header + length)?;
        self.0 = rest;
        Some(Element { whole, content: whole.get(header..)? })
    }

    /// Nothing follows.
    pub fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// The content of the one element of which `bytes` consist.
fn only(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    let element = reader.element(tag)?;
    reader.end()?;
    Some(element.content)
}

/// Whether `bytes` are a `SubjectPublicKeyInfo` with an RSA key of 2048 to 4096 bits.
pub(super) fn is_rsa_public_key(bytes: &[u8]) -> bool {
    rsa_modulus_bits(bytes).is_some_and(|bits| MODULUS_BITS.contains(&bits))
}

fn rsa_modulus_bits(bytes: &[u8]) -> Option<usize> {
    let mut info = Reader::new(only(bytes, SEQUENCE)?);
    let algorithm = info.element(SEQUENCE)?;
    let key = info.element(BIT_STRING)?;
    info.end()?;
    // The first byte of a bit string counts the bits its last byte does not use.
    let (&unused_bits, key) = key.content.split_first()?;
    if algorithm.content != RSA_ENCRYPTION || unused_bits != 0 {
        return None;
    }
    let mut key = Reader::new(only(key, SEQUENCE)?);
    let modulus = key.element(INTEGER)?.content;
    key.element(INTEGER)?;
    key.end()?;
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    Some(modulus.len() * 8 - modulus.first()?.leading_zeros() as usize)
}

/// Whether `bytes` are a `PrivateKeyInfo` (RFC 5208) with an RSA key.
pub(super) fn is_rsa_private_key(bytes: &[u8]) -> bool {
    let read = || {
        let mut info = Reader::new(only(bytes, SEQUENCE)?);
        let version = info.element(INTEGER)?;
        let algorithm = info.element(SEQUENCE)?;
        let key = info.element(OCTET_STRING)?;
        only(key.content, SEQUENCE)?;
        Some(version.content == [0] && algorithm.content == RSA_ENCRYPTION)
    };
    read() == Some(true)
}

/// A certificate's serial number (its bytes, without a leading zero) and `SubjectPublicKeyInfo`.
/// The certificate's own signature is not looked at: who gave us the file is what counts.
pub(super) fn certificate(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut signed = Reader::new(only(bytes, SEQUENCE)?);
    let mut fields = Reader::new(signed.element(SEQUENCE)?.content);
    let _version = fields.element(VERSION);
    let serial = fields.element(INTEGER)?.content;
    let (_algorithm, _issuer) = (fields.element(SEQUENCE)?, fields.element(SEQUENCE)?);
    let (_validity, _subject) = (fields.element(SEQUENCE)?, fields.element(SEQUENCE)?);
    let key = fields.element(SEQUENCE)?;
    Some((serial.strip_prefix(&[0]).unwrap_or(serial), key.whole))
}
