//! One field of a row, in any form that CallTools writes.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A row that cannot be read. Names the field at fault, never its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRow(pub(crate) &'static str);

/// Up to this number, 2⁵³, a float is exactly the whole number that was written.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The content of a field. CallTools writes the same fact in several forms. This type keeps the form, and the row decides what it means.
#[derive(Debug, Default)]
pub(crate) enum Field<'a> {
    /// The row has no such key.
    #[default]
    Absent,
    Null,
    Bool(bool),
    Number(u64),
    Text(Cow<'a, str>),
    /// An object, of which only the `id` matters.
    Object(Box<Field<'a>>),
    /// An array, a negative number or a fraction, which no known field is.
    Other,
}

impl<'a> Field<'a> {
    /// Returns the trimmed text; `None` if there is none or it is blank.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Field::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// Returns the number: a JSON number or a text of digits, bare or as the `id` of an object.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Field::Number(number) => Some(*number),
            Field::Text(_) => self.text().and_then(digits),
            Field::Object(id) => id.number(),
            _ => None,
        }
    }

    /// Returns whether it is empty, in any form.
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Field::Absent | Field::Null => true,
            Field::Text(_) => self.text().is_none(),
            _ => false,
        }
    }

    /// Returns a truth value or nothing; `Err` with `problem` for anything else. `1`, `0`, and `true` and `false` in any case are truth
    /// values, because languages and databases convert between these forms.
    pub(crate) fn truth(&self, problem: &'static str) -> Result<Option<bool>, BadRow> {
        match (self, self.text()) {
            _ if self.is_blank() => Ok(None),
            (Field::Bool(truth), _) => Ok(Some(*truth)),
            (Field::Number(1), _) | (_, Some("1")) => Ok(Some(true)),
            (Field::Number(0), _) | (_, Some("0")) => Ok(Some(false)),
            (_, Some(word)) if word.eq_ignore_ascii_case("true") => Ok(Some(true)),
            (_, Some(word)) if word.eq_ignore_ascii_case("false") => Ok(Some(false)),
            _ => Err(BadRow(problem)),
        }
    }
}

/// Parses digits only: `parse` alone would accept a sign, too.
fn digits(text: &str) -> Option<u64> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| text.parse().ok()).flatten()
}

/// Reads a row's fields into a struct of [`Field`]s.
pub(crate) fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, BadRow> {
    // A derived struct would also read an array, by position.
    if !json.starts_with('{') {
        return Err(BadRow("a row is not an object"));
    }
    serde_json::from_str(json).map_err(|_| BadRow("a row cannot be read"))
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Field<'de>, E> {
        Ok(Field::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Field<'de>, E> {
        Ok(Field::Bool(truth))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field<'de>, E> {
        Ok(Field::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Field<'de>, E> {
        let is_whole = number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&number);
        Ok(match is_whole {
            true => Field::Number(number as u64),
            false => Field::Other,
        })
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Field<'de>, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Field<'de>, A::Error> {
        let mut id = Field::Absent;
        while let Some(key) = entries.next_key::<String>()? {
            if key == "id" {
                id = entries.next_value()?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Field::Object(Box::new(id)))
    }
}
