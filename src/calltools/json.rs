//! A body as text: one scan before the parser, so that one odd character does not cost a whole list.

use std::borrow::Cow;

/// Deeper than any list of rows, and shallower than the 128 levels at which `serde_json` gives up. So a row that passed can be
/// wrapped into a response and still be read.
const MAX_DEPTH: usize = 64;

/// Starts some bodies, though JSON allows none.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// `\ud83d`: an escape of one UTF-16 unit.
const ESCAPE: usize = 6;

/// The same, of the character that stands for one that cannot be read.
const REPLACEMENT: &[u8; ESCAPE] = b"\\ufffd";

/// The body nests deeper than any list of rows does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooDeep;

/// The body as text. Bytes that are not UTF-8 and escapes of half a character become U+FFFD: JSON allows neither, but both turn up in
/// names that a program has cut, and the rest of the list is still good.
pub(super) fn text(body: &[u8]) -> Result<Cow<'_, str>, TooDeep> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let text = String::from_utf8_lossy(body);
    let halves = half_characters(text.as_bytes())?;
    if halves.is_empty() {
        return Ok(text);
    }
    let mut bytes = text.into_owned().into_bytes();
    for at in halves {
        bytes[at..at + ESCAPE].copy_from_slice(REPLACEMENT);
    }
    let text = String::from_utf8(bytes).expect("one ASCII escape takes the place of another");
    Ok(Cow::Owned(text))
}

/// Where the escapes of half a character are.
fn half_characters(text: &[u8]) -> Result<Vec<usize>, TooDeep> {
    let mut halves = Vec::new();
    let (mut at, mut depth, mut in_string) = (0, 0_usize, false);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' => {
                let escape = Escape::at(&text[at..]);
                if escape == Escape::Half {
                    halves.push(at);
                }
                at += escape.len();
                continue;
            }
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(TooDeep);
        }
        at += 1;
    }
    Ok(halves)
}

/// What begins with a backslash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    /// `\n`, `\"` and the like, or nothing that JSON knows.
    Short,
    /// `\u00fc`
    Unit,
    /// `\ud83d\ude00`: a character in two halves.
    Pair,
    /// One half without the other.
    Half,
}

impl Escape {
    fn at(text: &[u8]) -> Self {
        match utf16_unit(text) {
            None => Escape::Short,
            Some(0xd800..=0xdbff) => match text.get(ESCAPE..).and_then(utf16_unit) {
                Some(0xdc00..=0xdfff) => Escape::Pair,
                _ => Escape::Half,
            },
            Some(0xdc00..=0xdfff) => Escape::Half,
            Some(_) => Escape::Unit,
        }
    }

    fn len(self) -> usize {
        match self {
            Escape::Short => 2,
            Escape::Unit | Escape::Half => ESCAPE,
            Escape::Pair => 2 * ESCAPE,
        }
    }
}

/// The UTF-16 unit of the `\uXXXX` that the text begins with.
fn utf16_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_sound_stays_as_it_is() {
        for body in [
            "{}",
            r#" {"a":1,"b":{"a":[true,null,-1,2.5,"x"]}} "#,
            r#"{"name":"Zoë \ud83d\ude00 \u00fc \\ud83d \" \\"}"#,
            r#"["\\\\\ud83d\ude00", "[[[[", "\"{{"]"#,
            "<html>",
            "",
        ] {
            let text = text(body.as_bytes()).unwrap();
            assert!(matches!(text, Cow::Borrowed(_)), "{body}");
            assert_eq!(text, body);
        }
        assert_eq!(text(b"\xef\xbb\xbf[1]").unwrap(), "[1]");
    }

    #[test]
    fn half_a_character_is_replaced_wherever_it_stands() {
        for (body, mended) in [
            (r#"["\ud83d"]"#, r#"["\ufffd"]"#),
            (r#"["\uDE00x"]"#, r#"["\ufffdx"]"#),
            (r#"{"\ud83d":{"\udfff":1}}"#, r#"{"\ufffd":{"\ufffd":1}}"#),
            (r#"["\ud83d\ud83d\ude00"]"#, r#"["\ufffd\ud83d\ude00"]"#),
            (r#"["\ude00\ud83d"]"#, r#"["\ufffd\ufffd"]"#),
            (r#"["\ud83d\n\ude00"]"#, r#"["\ufffd\n\ufffd"]"#),
            (r#"["\ud83d\u0041"]"#, r#"["\ufffd\u0041"]"#),
            (r#"["\\\ud83d"]"#, r#"["\\\ufffd"]"#),
        ] {
            assert_eq!(text(body.as_bytes()).unwrap(), mended);
        }
        for (body, mended) in [
            (&b"[\"M\xfcller\"]"[..], "[\"M\u{fffd}ller\"]"),
            // UTF-8 of half a character.
            (b"[\"\xed\xa0\xbd!\"]", "[\"\u{fffd}\u{fffd}\u{fffd}!\"]"),
            // A name that was cut in the middle of a character.
            (b"[\"Zo\xc3\"]", "[\"Zo\u{fffd}\"]"),
        ] {
            assert_eq!(text(body).unwrap(), mended);
        }
    }

    #[test]
    fn escapes_that_are_none_are_left_to_the_parser() {
        for body in [
            r#"["\u12"]"#,
            r#"["\u+123"]"#,
            r#"["\x"]"#,
            r#"["\ud83"#,
            "\\",
            "\"\\u",
        ] {
            assert_eq!(text(body.as_bytes()).unwrap(), body);
        }
    }

    #[test]
    fn nests_so_deep_and_no_deeper() {
        let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(text(nested(MAX_DEPTH).as_bytes()).is_ok());
        for depth in [MAX_DEPTH + 1, 10_000] {
            assert_eq!(text(nested(depth).as_bytes()), Err(TooDeep), "{depth}");
        }
        assert!(text(format!("\"{}\"", nested(100)).as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn every_json_text_reads_the_same_after_the_scan(text in any::<String>()) {
            let body = serde_json::to_string(&[&text]).unwrap();
            prop_assert_eq!(super::text(body.as_bytes()).unwrap(), body.as_str());
        }

        #[test]
        fn any_string_of_escapes_is_json_after_the_scan(units in prop::collection::vec(0xd7f0_u16..0xe010, 0..12)) {
            let body: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let body = format!("[\"{body}\"]");
            let read: Vec<String> = serde_json::from_str(&text(body.as_bytes()).unwrap()).unwrap();
            prop_assert_eq!(&read[0], &String::from_utf16_lossy(&units));
        }
    }
}
