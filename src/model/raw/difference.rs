//! A row as its difference from another row, piece by piece.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::Form;

/// What ends a piece of a row: nearly each piece is one field. Any text can be split this way, and joined again.
const END: char = ',';

/// What separates the name of a field from its value.
const COLON: char = ':';

/// What ends a piece of a difference. JSON cannot contain it.
const SEPARATOR: char = '\0';

/// A row as its difference from a whole row.
#[derive(Debug)]
pub(super) struct Difference {
    from: Arc<Form>,
    places: Places,
    /// What replaces these pieces, in their order, each with a separator. If it begins with a colon, the name of the field stays.
    pieces: Box<str>,
}

/// The usual length of these pieces in bytes: the agent's id, name and URL, and the status with its date.
const USUAL_DIFFERENCE: usize = 512;

/// Which pieces of the whole row are replaced, a bit for each. A piece behind the last bit cannot be: CallTools' rows have about 35 fields.
type Places = u128;

impl Difference {
    /// Returns the difference of `row` from a whole row; `None` if it saves too little memory.
    pub(super) fn between(row: &str, from: &Arc<Form>) -> Option<Self> {
        let whole = from.whole()?;
        // Nearly all rows differ in a few short values.
        let (mut places, mut pieces) = (0, String::with_capacity(USUAL_DIFFERENCE));
        let (mut place, mut ours, mut theirs) = (0, row, whole);
        loop {
            let same = same_pieces(ours, theirs);
            place += count(&theirs[..same]);
            (ours, theirs) = (&ours[same..], &theirs[same..]);
            let (other, after) = cut(theirs);
            if other.is_empty() {
                break;
            }
            if place >= Places::BITS as usize {
                return None;
            }
            places |= 1 << place;
            let piece = replacement(ours, theirs);
            let value = piece.strip_prefix(name(other));
            match value.filter(|value| value.starts_with(COLON)) {
                Some(value) => pieces.push_str(value),
                // It would be read as a value.
                None if piece.starts_with(COLON) => return None,
                None => pieces.push_str(piece),
            }
            pieces.push(SEPARATOR);
            (place, ours, theirs) = (place + 1, &ours[piece.len()..], after);
        }
        // Less than a quarter is not worth the work.
        let saves = size_of::<Form>() + pieces.len() < row.len() / 4 * 3;
        (ours.is_empty() && saves).then(|| Self {
            from: Arc::clone(from),
            places,
            pieces: pieces.as_str().into(), // Exactly as long as it must be.
        })
    }

    /// Returns whether two rows have the same text.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match Arc::ptr_eq(&self.from, &other.from) {
            true => self.places == other.places && self.pieces == other.pieces,
            false => self.json().get() == other.json().get(),
        }
    }

    pub(super) fn json(&self) -> Box<RawValue> {
        let whole = self.from.whole().unwrap_or_default();
        let mut text = String::with_capacity(whole.len() + self.pieces.len());
        let mut pieces = self.pieces.split(SEPARATOR);
        for (place, same) in whole.split_inclusive(END).enumerate() {
            let differs = place < Places::BITS as usize && self.places & 1 << place != 0;
            let piece = if differs { pieces.next() } else { None };
            if piece.is_some_and(|piece| piece.starts_with(COLON)) {
                text.push_str(name(same));
            }
            text.push_str(piece.unwrap_or(same));
        }
        RawValue::from_string(text).expect("the text of a row that was JSON")
    }
}

/// Returns the length of the pieces that two texts have in common at their beginning. Most rows of an account are compared, so this looks at many
/// bytes at once.
fn same_pieces(one: &str, other: &str) -> usize {
    // A few vector registers, and no more than two fields.
    const BLOCK: usize = 32;
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one == other {
        return one.len();
    }
    let blocks = one.chunks_exact(BLOCK).zip(other.chunks_exact(BLOCK));
    let mut same = blocks.take_while(|(one, other)| one == other).count() * BLOCK;
    let rest = one[same..].iter().zip(&other[same..]);
    same += rest.take_while(|(one, other)| one == other).count();
    memchr::memrchr(END as u8, &one[..same]).map_or(0, |last| last + 1)
}

fn count(pieces: &str) -> usize {
    memchr::memchr_iter(END as u8, pieces.as_bytes()).count()
}

/// Returns the first piece of a text, and the rest.
fn cut(text: &str) -> (&str, &str) {
    let end = memchr::memchr(END as u8, text.as_bytes());
    text.split_at(end.map_or(text.len(), |end| end + 1))
}

/// Returns what stands at the beginning of `ours` in the place of the first piece of `theirs`.
fn replacement<'a>(ours: &'a str, theirs: &str) -> &'a str {
    let ((other, after), (first, rest)) = (cut(theirs), cut(ours));
    if after.is_empty() {
        return ours;
    }
    if name(first) == name(other) {
        return first;
    }
    let lacks_the_field = name(first) == name(cut(after).0);
    if lacks_the_field {
        return "";
    }
    let second = cut(rest).0;
    let has_one_more = name(second) == name(other);
    match has_one_more {
        true => &ours[..first.len() + second.len()],
        false => first,
    }
}

/// Returns what comes before the first colon.
fn name(piece: &str) -> &str {
    let colon = memchr::memchr(COLON as u8, piece.as_bytes());
    &piece[..colon.unwrap_or(piece.len())]
}
