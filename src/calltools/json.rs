//! JSON, read strictly: what passes here can be read again in any way without a surprise.
//!
//! `serde_json` lets a key appear twice (which of the two counts depends on who reads) and skims over what nobody asked for,
//! however deeply nested. A reply is checked once, whole, so that rows can be kept as text and read later, by the criteria
//! and by clients of the drop-in API, with the same result.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

/// Deeper than any list of rows, and shallower than the 128 at which `serde_json` itself gives up: so a row that passed
/// can be wrapped into a response of its own and still be read.
const MAX_DEPTH: u8 = 64;

/// Why a body is not used. Neither form quotes the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsound {
    /// Not JSON from this place on; both count from one.
    Syntax { line: usize, column: usize },
    /// JSON, with a key twice in one object or nested beyond all reason.
    Structure { line: usize, column: usize },
    /// Not UTF-8.
    Encoding,
}

/// The body as text, if it is JSON without double keys and deep nesting.
pub(super) fn check(body: &[u8]) -> Result<&str, Unsound> {
    let text = std::str::from_utf8(body).map_err(|_| Unsound::Encoding)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    Strict { depth: 0 }
        .deserialize(&mut reader)
        .and_then(|()| reader.end())
        .map_err(|error| Unsound::from(&error))?;
    Ok(text)
}

impl From<&serde_json::Error> for Unsound {
    fn from(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Data => Unsound::Structure { line, column },
            _ => Unsound::Syntax { line, column },
        }
    }
}

/// Walks a value and keeps nothing of it.
#[derive(Clone, Copy)]
struct Strict {
    depth: u8,
}

impl Strict {
    fn inside<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom("nested too deeply"));
        }
        Ok(Self {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while elements.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        let mut keys = HashSet::new();
        while let Some(Key(key)) = entries.next_key()? {
            if !keys.insert(key) {
                return Err(de::Error::custom("a key appears twice"));
            }
            entries.next_value_seed(inside)?;
        }
        Ok(())
    }
}

/// A key, borrowed unless it bears escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_what_any_reader_reads_alike() {
        let bodies: [&[u8]; 6] = [
            b"{}",
            br#" {"a":1,"b":{"a":[true,null,-1,2.5,"x"]}} "#,
            b"[]",
            b"null",
            br#"{"a":1,"A":2}"#,
            "{\"name\":\"Zo\u{eb}\"}".as_bytes(),
        ];
        for body in bodies {
            assert!(check(body).is_ok(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn refuses_the_rest_and_says_where() {
        let structure = |column| Unsound::Structure { line: 1, column };
        let syntax = |column| Unsound::Syntax { line: 1, column };
        let cases: [(&[u8], Unsound); 8] = [
            (br#"{"a":1,"a":2}"#, structure(10)),
            // The same key in another spelling.
            (br#"[{"a":1,"\u0061":2}]"#, structure(16)),
            (b"<html>", syntax(1)),
            (b"", Unsound::Syntax { line: 1, column: 0 }),
            (b"{} {}", syntax(4)),
            (b"[NaN]", syntax(2)),
            (br#"["\ud800"]"#, syntax(9)),
            (b"\"\xff\"", Unsound::Encoding),
        ];
        for (body, unsound) in cases {
            let shown = String::from_utf8_lossy(body);
            assert_eq!(check(body), Err(unsound), "{shown}");
        }
    }

    #[test]
    fn nests_so_deep_and_no_deeper() {
        let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(check(nested(usize::from(MAX_DEPTH)).as_bytes()).is_ok());
        for depth in [usize::from(MAX_DEPTH) + 1, 10_000] {
            let body = nested(depth);
            let refused = check(body.as_bytes());
            assert!(matches!(refused, Err(Unsound::Structure { .. })), "{depth}");
        }
    }
}
