//! A row's JSON, read as an object only. For each struct serde's derive makes the code to read it from a
//! list too, and JSON's own deserializer carries both; no row is a list.

use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde_json::de::StrRead;
use serde_json::{Error, Result};

/// Reads a row.
///
/// # Errors
/// When the text is no JSON, or does not fit the type.
pub fn from_str<T: DeserializeOwned>(json: &str) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let row = T::deserialize(Row(&mut deserializer))?;
    deserializer.end()?;
    Ok(row)
}

struct Row<'a, 'de>(&'a mut serde_json::Deserializer<StrRead<'de>>);

/// Methods that only hand on.
macro_rules! hand_on {
    ($($method:ident($($arg:ident: $type:ty),*);)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value> {
            self.0.$method($($arg,)* visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Row<'_, 'de> {
    type Error = Error;

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
        deserialize_f32();
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
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.0.deserialize_map(visitor)
    }
}
