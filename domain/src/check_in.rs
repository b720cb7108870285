//! The code with which a customer checks in: short, read out and typed by people.

/// What a code is made of: digits and capital letters of which no two look alike (`0 O D Q`, `1 I L`,
/// `2 Z`, `5 S`, `8 B`, `U V` are left out or there once).
pub const ALPHABET: &[u8; 23] = b"34679ACDEFGHJKMNPRTVWXY";
/// Characters in a code: 23 to the power of six is 148 million.
pub const CODE_CHARS: usize = 6;

/// A code from random bytes, each code as likely as any other; `None` when the bytes do not make one, which
/// is once in some ten thousand times with twice as many bytes as a code has characters.
#[must_use]
pub fn code(random: &[u8]) -> Option<String> {
    let letters = ALPHABET.len() as u8;
    // What lies beyond the last full round of the alphabet is thrown away.
    let fair = u8::MAX / letters * letters;
    let code: String = random
        .iter()
        .filter(|byte| **byte < fair)
        .filter_map(|byte| ALPHABET.get(usize::from(byte % letters)))
        .take(CODE_CHARS)
        .map(|letter| char::from(*letter))
        .collect();
    (code.len() == CODE_CHARS).then_some(code)
}

/// A code as it was typed, in the form of [`code`]: spaces, hyphens and small letters are the same to
/// those who read it out. `None` when it is none.
#[must_use]
pub fn parse(typed: &str) -> Option<String> {
    let mut code = String::with_capacity(CODE_CHARS);
    for letter in typed.chars().filter(|letter| !matches!(letter, ' ' | '-')) {
        let letter = letter.to_ascii_uppercase();
        let known = u8::try_from(letter).is_ok_and(|byte| ALPHABET.contains(&byte));
        if !known || code.len() == CODE_CHARS {
            return None;
        }
        code.push(letter);
    }
    (code.len() == CODE_CHARS).then_some(code)
}
