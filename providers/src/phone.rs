//! A mainland mobile number, the only kind of phone number Zhundian takes.

use std::fmt;

use thiserror::Error;

/// A mobile number of mainland China: 11 ASCII digits, the first `1`, the second `3` to `9`
/// (numbering plan of the Ministry of Industry and Information Technology: 130 to 199).
///
/// `Debug` shows it [masked](Phone::masked); there is no `Display`, so that a whole number is
/// written only where [`as_str`](Phone::as_str) or [`e164`](Phone::e164) says so.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Phone(String);

/// The text is not a mainland mobile number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a mainland mobile number: 11 digits are needed, beginning with 13 to 19")]
pub struct InvalidPhone;

impl Phone {
    /// Reads a number written as its 11 digits: no country code, no spaces.
    ///
    /// # Errors
    /// [`InvalidPhone`] when the text is anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidPhone> {
        match text.as_bytes() {
            [b'1', b'3'..=b'9', rest @ ..]
                if rest.len() == 9 && rest.iter().all(u8::is_ascii_digit) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidPhone),
        }
    }

    /// The 11 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number with its country code, as E.164 writes it: `+8613800000000`.
    #[must_use]
    pub fn e164(&self) -> String {
        format!("+86{}", self.0)
    }

    /// The number with its middle four digits hidden, for screens and logs: `138****0000`.
    #[must_use]
    pub fn masked(&self) -> String {
        self.0.char_indices().map(|(at, c)| if (3..7).contains(&at) { '*' } else { c }).collect()
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phone({})", self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mainland_mobile_numbers_are_taken_as_they_are() {
        for text in ["13000000000", "13812345678", "16600000000", "19999999999"] {
            assert_eq!(Phone::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let cases = [
            "",
            "1",
            "13",
            "1380000000",   // 10 digits
            "138000000000", // 12 digits
            "12000000000",  // second digit
            "10086",        // a service number
            "23800000000",  // first digit
            "01380000000",  // leading zero
            "+8613800000000",
            "8613800000000",
            " 13800000000",
            "13800000000\n",
            "138 0000 000",
            "1380000000a",
            "１３８００００００００", // full-width digits
            "138000000٠",             // an Arabic digit, 11 bytes in all
        ];
        for text in cases {
            assert_eq!(Phone::parse(text), Err(InvalidPhone), "{text:?}");
        }
    }

    #[test]
    fn the_middle_is_hidden_unless_asked_for() {
        let phone = Phone::parse("13812345678").unwrap();
        assert_eq!(phone.masked(), "138****5678");
        assert_eq!(format!("{phone:?}"), "Phone(138****5678)");
        assert_eq!(phone.e164(), "+8613812345678");
    }
}
