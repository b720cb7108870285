//! Serde as the document means it. What serde's derive takes besides the shape that is written down is
//! refused here, in a wrapper around the format's own deserializer:
//!
//! - a list in place of an object, its items taken for the fields in their order;
//! - an object in place of one of several words (`{"direct": null}` for `"direct"`); and anything else
//!   in its place is a wrong type, where JSON's own deserializer speaks of a syntax error.
//!
//! In a query string numbers are text. [`crate::http::fields::Int`] asks for an `f32`, which stands for
//! a number of any kind: JSON shows it its numbers, a query string its text.

use std::cell::{Cell, RefCell};
use std::mem::take;

use serde::de::value::StrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    Unexpected, Visitor,
};

/// Why a text was refused, and at which field: `steps[1].minutes`, or `.` for the whole.
pub struct Refused<E> {
    /// The field.
    pub path: String,
    /// The format's own error.
    pub error: E,
}

/// Reads with JSON's deserializer.
///
/// # Errors
/// What the deserializer refuses, and what is refused here.
pub fn json<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<T, Refused<D::Error>> {
    read(from, Reading::default())
}

/// Reads with a query string's.
///
/// # Errors
/// What the deserializer refuses, and what is refused here.
pub fn query<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<T, Refused<D::Error>> {
    read(from, Reading { text: true, ..Reading::default() })
}

fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
    reading: Reading,
) -> Result<T, Refused<D::Error>> {
    T::deserialize(reading.around(from)).map_err(|error| Refused { path: reading.path(), error })
}

/// One text on its way through the deserializer.
#[derive(Default)]
struct Reading {
    /// Whether numbers are text.
    text: bool,
    /// Whether the next string is a field's name.
    naming: Cell<bool>,
    /// The name last seen.
    name: RefCell<String>,
    /// Where it failed, the innermost part first: an error gathers its path on its way out.
    failed_at: RefCell<Vec<String>>,
}

impl Reading {
    const fn around<T>(&self, inner: T) -> Strict<'_, T> {
        Strict { inner, reading: self }
    }

    fn see(&self, text: &str) {
        if self.naming.take() {
            text.clone_into(&mut self.name.borrow_mut());
        }
    }

    fn failed_in(&self, part: String) {
        self.failed_at.borrow_mut().push(part);
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for part in self.failed_at.borrow().iter().rev() {
            if !path.is_empty() && !part.starts_with('[') {
                path.push('.');
            }
            path.push_str(part);
        }
        if path.is_empty() { ".".to_owned() } else { path }
    }
}

/// The wrapper.
#[derive(Clone, Copy)]
struct Strict<'a, T> {
    inner: T,
    reading: &'a Reading,
}

impl<'a, T> Strict<'a, T> {
    const fn around<U>(&self, inner: U) -> Strict<'a, U> {
        self.reading.around(inner)
    }
}

/// Methods that only hand on.
macro_rules! hand_on {
    ($($method:ident($($arg:ident: $type:ty),*);)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.around(visitor);
            self.inner.$method($($arg,)* visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<'_, D> {
    type Error = D::Error;

    hand_on! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_identifier();
        deserialize_ignored_any();
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.around(visitor);
        if self.reading.text {
            self.inner.deserialize_any(visitor)
        } else {
            self.inner.deserialize_f32(visitor)
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.around(visitor);
        self.inner.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_str(Word(visitor))
    }
}

/// Methods of a visitor that take a plain value.
macro_rules! plain {
    ($($method:ident($type:ty);)*) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.expecting(f)
    }

    plain! {
        visit_bool(bool);
        visit_i64(i64);
        visit_u64(u64);
        visit_f64(f64);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.reading.see(text);
        self.inner.visit_str(text)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        self.reading.see(text);
        self.inner.visit_borrowed_str(text)
    }

    fn visit_string<E: Error>(self, text: String) -> Result<V::Value, E> {
        self.reading.see(&text);
        self.inner.visit_string(text)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.around(deserializer);
        self.inner.visit_some(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<V::Value, D::Error> {
        let deserializer = self.around(deserializer);
        self.inner.visit_newtype_struct(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        let items = Items { inner: items, reading: self.reading, index: 0 };
        self.inner.visit_seq(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        let entries = Entries { inner: entries, reading: self.reading, name: String::new() };
        self.inner.visit_map(entries)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, word: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(word)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = self.around(deserializer);
        self.inner.deserialize(deserializer)
    }
}

/// A list, which knows at which item it is.
struct Items<'a, A> {
    inner: A,
    reading: &'a Reading,
    index: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Items<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let item = self.inner.next_element_seed(self.reading.around(seed));
        if item.is_err() {
            self.reading.failed_in(format!("[{}]", self.index));
        }
        self.index += 1;
        item
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

/// An object, which knows in which field it is.
struct Entries<'a, A> {
    inner: A,
    reading: &'a Reading,
    name: String,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.reading.naming.set(true);
        let key = self.inner.next_key_seed(self.reading.around(seed));
        self.reading.naming.set(false);
        self.name = self.reading.name.take();
        if key.is_err() {
            self.reading.failed_in(take(&mut self.name));
        }
        key
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let value = self.inner.next_value_seed(self.reading.around(seed));
        if value.is_err() {
            self.reading.failed_in(take(&mut self.name));
        }
        value
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

/// One of several words.
struct Word<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Word<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("string")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<V::Value, E> {
        self.0.visit_enum(StrDeserializer::new(word))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<V::Value, A::Error> {
        Err(A::Error::invalid_type(Unexpected::Map, &self))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read into")]
    struct Body {
        #[serde(default)]
        steps: Vec<Step>,
        #[serde(default)]
        prices: Option<BTreeMap<String, i64>>,
    }

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read into")]
    struct Step {
        minutes: i64,
    }

    #[test]
    fn the_path_is_that_of_the_field() {
        let cases = [
            ("[]", "."),
            (r#"{"steps":{}}"#, "steps"),
            (r#"{"other":1}"#, "other"),
            (r#"{"steps":[],"steps":[]}"#, "."),
            (r#"{"steps":[1]}"#, "steps[0]"),
            (r#"{"steps":[{}]}"#, "steps[0]"),
            (r#"{"steps":[{"minutes":1},{"minutes":"1"}]}"#, "steps[1].minutes"),
            (r#"{"steps":[{"minutes":1,"other":{}}]}"#, "steps[0].other"),
            (r#"{"steps":[{"minutes":1,"minutes":2}]}"#, "steps[0]"),
            (r#"{"steps":[{"minutes":1}],"prices":{"senior":1,"junior":[]}}"#, "prices.junior"),
        ];
        for (text, path) in cases {
            let mut json = serde_json::Deserializer::from_str(text);
            let refused = super::json::<Body, _>(&mut json).err().map(|refused| refused.path);
            assert_eq!(refused.as_deref(), Some(path), "{text}");
        }
    }
}
