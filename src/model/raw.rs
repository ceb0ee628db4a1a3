//! The JSON of a row as CallTools sent it, for custom criteria and the drop-in API.
//!
//! Rows take most of openseat's memory: more than a kilobyte each, once for the agent and once for each of the agent's queues. All rows of an
//! account have the same fields, and many have the same values. So a row is kept as its difference from one whole row of the account, and
//! a row that differs only in its login to a queue is computed when it is read.

use std::{borrow::Cow, sync::Arc};

use indexmap::IndexMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The field of a row that differs from queue to queue.
const QUEUE_LOGIN: &str = "queue_logged_in";

/// The fields of a row that tell the agent's status.
const STATUS: [&str; 4] = [
    "status",
    "agent_status",
    "agent_status_modified_on",
    "ready",
];

/// The field that marks a row whose status openseat does not know, because a list of available agents lacks the agent. CallTools itself sends nulls
/// for agents who never had a status. Being part of the row, the mark outlives restarts and reaches other nodes.
const STATUS_UNKNOWN: &str = "openseat_status_unknown";

/// What ends a piece of a row: nearly each piece is one field. Any text can be split this way, and joined again.
const END: char = ',';

/// What separates the name of a field from its value.
const COLON: char = ':';

/// What ends a piece of a difference. JSON cannot contain it.
const SEPARATOR: char = '\0';

/// A row as CallTools sent it, perhaps with the login from another row.
#[derive(Clone, Debug)]
pub struct RawRow(Arc<Form>);

#[derive(Debug)]
enum Form {
    Whole(Box<RawValue>),
    Differs(Difference),
    /// A row with the login from another row of the same agent.
    Joined {
        row: RawRow,
        login: RawRow,
    },
}

/// A row as its difference from a whole row.
#[derive(Debug)]
struct Difference {
    from: RawRow,
    places: Places,
    /// What replaces these pieces, in their order, each with a separator. If it begins with a colon, the name of the field stays.
    pieces: Box<str>,
}

/// Which pieces of the whole row are replaced, a bit for each. A piece behind the last bit cannot be: CallTools' rows have about 35 fields.
type Places = u128;

impl RawRow {
    /// Returns the JSON.
    pub fn json(&self) -> Cow<'_, RawValue> {
        match &*self.0 {
            Form::Whole(json) => Cow::Borrowed(json),
            Form::Differs(difference) => Cow::Owned(difference.json()),
            Form::Joined { row, login } => Cow::Owned(with_queue_login(&row.json(), &login.json())),
        }
    }

    /// Returns whether the row is kept whole.
    pub fn is_whole(&self) -> bool {
        matches!(&*self.0, Form::Whole(_))
    }

    /// Returns whether two rows have the same memory.
    fn is(&self, other: &RawRow) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns this row with the login of `other`.
    pub fn with_queue_login_of(&self, other: &RawRow) -> Self {
        Self(Arc::new(Form::Joined {
            row: self.clone(),
            login: other.clone(),
        }))
    }

    /// Returns whether the row [has lost](Self::without_status) its status.
    pub fn has_lost_status(&self) -> bool {
        let json = self.json();
        fields(&json).is_ok_and(|fields| fields.contains_key(STATUS_UNKNOWN))
    }

    /// Returns this row with nulls in the fields of the agent's status, and a mark that it is unknown.
    pub fn without_status(&self) -> Self {
        let json = self.json();
        let Ok(mut fields) = fields(&json) else {
            return self.clone(); // Every row was read as an object before it came here.
        };
        for name in STATUS {
            if let Some(field) = fields.get_mut(name) {
                *field = RawValue::NULL;
            }
        }
        fields.insert(STATUS_UNKNOWN.into(), RawValue::TRUE);
        serde_json::value::to_raw_value(&fields).map_or_else(|_| self.clone(), Self::from)
    }
}

impl PartialEq for RawRow {
    fn eq(&self, other: &Self) -> bool {
        match (&*self.0, &*other.0) {
            (Form::Differs(one), Form::Differs(other)) if one.from.is(&other.from) => {
                one.places == other.places && one.pieces == other.pieces
            }
            _ => self.is(other) || self.json().get() == other.json().get(),
        }
    }
}

impl From<Box<RawValue>> for RawRow {
    fn from(sent: Box<RawValue>) -> Self {
        Self(Arc::new(Form::Whole(sent)))
    }
}

impl Serialize for RawRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

/// The whole row of an account from which the others are kept as differences.
#[derive(Clone, Debug, Default)]
pub struct Pattern(Option<RawRow>);

impl Pattern {
    /// Keeps the text of a row. One that has too little in common with the pattern is kept whole, and becomes the pattern.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn keep(&mut self, json: &str) -> serde_json::Result<RawRow> {
        if let Some(row) = self.difference(json) {
            return Ok(row);
        }
        let row = RawRow::from(RawValue::from_string(json.to_owned())?);
        self.0 = Some(row.clone());
        Ok(row)
    }

    /// Returns the same row in as little memory as possible.
    pub fn share(&mut self, row: &RawRow) -> RawRow {
        let Form::Whole(json) = &*row.0 else {
            return row.clone(); // It shares memory already.
        };
        let is_this = self.0.as_ref().is_some_and(|pattern| pattern.is(row));
        if !is_this && let Some(shared) = self.difference(json.get()) {
            return shared;
        }
        self.0 = Some(row.clone());
        row.clone()
    }

    fn difference(&self, json: &str) -> Option<RawRow> {
        let from = self.0.as_ref()?;
        let difference = Difference::between(json, from)?;
        Some(RawRow(Arc::new(Form::Differs(difference))))
    }
}

impl Difference {
    /// Returns the difference of `row` from a whole row; `None` if it saves too little memory.
    fn between(row: &str, from: &RawRow) -> Option<Self> {
        let Form::Whole(whole) = &*from.0 else {
            return None;
        };
        let whole = whole.get();
        let (mut places, mut pieces) = (0, String::new());
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
            from: from.clone(),
            places,
            pieces: pieces.into(),
        })
    }

    fn json(&self) -> Box<RawValue> {
        let whole = self.from.json();
        let mut text = String::with_capacity(whole.get().len() + self.pieces.len());
        let mut pieces = self.pieces.split(SEPARATOR);
        for (place, same) in whole.get().split_inclusive(END).enumerate() {
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

fn with_queue_login(row: &RawValue, other: &RawValue) -> Box<RawValue> {
    let (Ok(mut joined), Ok(mut other)) = (fields(row), fields(other)) else {
        // Cannot happen: every row was read as an object before.
        return row.to_owned();
    };
    match other.swap_remove(QUEUE_LOGIN) {
        Some(login) => joined.insert(QUEUE_LOGIN.into(), login),
        None => joined.shift_remove(QUEUE_LOGIN),
    };
    serde_json::value::to_raw_value(&joined).unwrap_or_else(|_| row.to_owned())
}

/// The fields in CallTools' order, so that a changed row still shares memory with the others. The values stay as CallTools sent them, because fields
/// that openseat does not read may contain anything.
fn fields(row: &RawValue) -> serde_json::Result<IndexMap<Box<str>, &RawValue>> {
    serde_json::from_str(row.get())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn row(json: &str) -> RawRow {
        RawValue::from_string(json.to_owned()).unwrap().into()
    }

    #[test]
    fn a_row_reads_as_it_was_sent() {
        let sent = r#"{"queue_logged_in": true,  "b":1.0, "a": "\u00fc"}"#;
        assert_eq!(row(sent).json().get(), sent);
    }

    #[test]
    fn only_the_log_in_comes_from_the_other_row() {
        let newest = row(r#"{"a":1,"queue_logged_in":true}"#);
        for (other, login) in [
            (
                r#"{"a":2,"queue_logged_in":false}"#,
                Some(Value::Bool(false)),
            ),
            (r#"{"a":2,"queue_logged_in":null}"#, Some(Value::Null)),
            (r#"{"a":2}"#, None),
        ] {
            let joined = newest.with_queue_login_of(&row(other));
            let read: Value = serde_json::from_str(joined.json().get()).unwrap();
            assert_eq!(
                (&read["a"], read.get("queue_logged_in")),
                (&1.into(), login.as_ref())
            );
        }
        assert_eq!(newest.json().get(), r#"{"a":1,"queue_logged_in":true}"#);
    }

    #[test]
    fn a_row_that_has_lost_its_status_differs_from_one_that_never_had_one() {
        let sent = row(r#"{"agent_status":627,"ready":true,"team":"north"}"#);
        let lost = sent.without_status();
        let expected =
            r#"{"agent_status":null,"ready":null,"team":"north","openseat_status_unknown":true}"#;
        assert_eq!(lost.json().get(), expected);
        let joined = lost.with_queue_login_of(&sent);
        let (stored, none) = (row(lost.json().get()), row(r#"{"agent_status":null}"#));
        let found = [&sent, &lost, &joined, &stored, &none].map(RawRow::has_lost_status);
        assert_eq!(found, [false, true, true, true, false]);
    }

    #[test]
    fn a_value_that_cannot_be_read_does_not_keep_the_log_in_of_another_queue() {
        let deep = ["[".repeat(200), "]".repeat(200)].concat();
        for odd in [r#""\ud83d""#.to_owned(), deep] {
            let newest = row(&format!(r#"{{"queue_logged_in":true,"x":{odd}}}"#));
            let joined = newest.with_queue_login_of(&row(r#"{"queue_logged_in":false}"#));
            let expected = format!(r#"{{"queue_logged_in":false,"x":{odd}}}"#);
            assert_eq!(joined.json().get(), expected);
        }
    }

    /// A row of 30 fields, with these fields and values at the beginning.
    fn wide(fields: &str) -> RawRow {
        let more: Vec<String> = (0..30)
            .map(|field| format!(r#""field {field}":"one, two: {field}""#))
            .collect();
        row(&format!("{{{fields},{}}}", more.join(", ")))
    }

    #[test]
    fn a_row_reads_the_same_when_it_shares_memory_with_another() {
        let other = wide(r#""status":"Lunch","queue_logged_in":true,"calls":1"#);
        let mut pattern = Pattern::default();
        assert_eq!(pattern.share(&other), other);
        for (fields, shares) in [
            (r#""status":"Lunch","queue_logged_in":true,"calls":1"#, true),
            (r#""status":"Lunch","queue_logged_in":true,"calls":2"#, true),
            (
                r#""status":"Lunch, long","queue_logged_in":true,"calls":1"#,
                true,
            ),
            (r#""status":"Lunch","calls":2"#, true),
            (
                r#""status":"Lunch","queue_logged_in":true,"new":null,"calls":1"#,
                true,
            ),
            // A piece that begins with a colon would be read as a value.
            (r#""status":",:x","queue_logged_in":true,"calls":1"#, false),
            (r#""other":{"a":[1,2,3]}"#, true),
        ] {
            let sent = wide(fields);
            let kept = pattern.clone().share(&sent);
            assert_eq!(pattern.clone().keep(sent.json().get()).expect("JSON"), kept);
            assert_eq!(kept.json().get(), sent.json().get());
            assert_eq!(kept.is_whole(), !shares, "{fields}");
            assert_eq!(kept, sent);
            assert_eq!(kept == other, sent.json().get() == other.json().get());
        }
        let long = wide(&format!(r#""status":"{}""#, "long".repeat(1_000)));
        assert!(pattern.clone().share(&long).is_whole());
        assert!(pattern.share(&row(r#"{"a":1}"#)).is_whole());
    }

    #[test]
    fn a_row_unlike_the_pattern_becomes_the_pattern() {
        let mut pattern = Pattern::default();
        let one = pattern.keep(wide(r#""a":1"#).json().get()).expect("JSON");
        let other = r#"{"x":"another row, with nothing in common, and long enough to be worth it: one, two, three, four, five"}"#;
        let is_whole = |row: &RawRow| row.is_whole();
        let again = pattern.keep(wide(r#""a":2"#).json().get()).expect("JSON");
        let kept = [other, other].map(|text| pattern.keep(text).expect("JSON"));
        assert!(is_whole(&one) && !is_whole(&again));
        assert!(is_whole(&kept[0]) && !is_whole(&kept[1]));
        assert_eq!(kept[1].json().get(), other);
        assert!(pattern.keep("no JSON").is_err());
    }

    #[test]
    fn a_row_without_its_status_keeps_the_order_of_its_fields_and_shares_memory() {
        let sent = wide(r#""status":"Lunch","queue_logged_in":true,"ready":true"#);
        let nulls = wide(r#""status":null,"queue_logged_in":true,"ready":null"#);
        let marked = nulls
            .json()
            .get()
            .replace('}', ",\"openseat_status_unknown\":true}");
        let without = sent.without_status();
        // Without the spaces between fields, which are lost.
        assert_eq!(
            without.json().get(),
            marked.replace(", \"field", ",\"field")
        );
        let mut pattern = Pattern::default();
        assert!(pattern.share(&nulls).is_whole());
        assert!(!pattern.share(&without).is_whole());
    }

    proptest! {
        #[test]
        fn any_row_reads_the_same_when_it_shares_memory(
            one in any_row(),
            other in any_row(),
            third in any_row(),
        ) {
            let whole = row(&other);
            let mut pattern = Pattern::default();
            pattern.share(&whole);
            let [kept, kept_third] = [&one, &third].map(|text| pattern.clone().share(&row(text)));
            prop_assert_eq!(&pattern.keep(&one).expect("JSON"), &kept);
            let json = kept.json();
            prop_assert_eq!(json.get(), &one);
            prop_assert_eq!(kept == kept_third, one == third);
        }
    }

    /// The text of an object with a few fields in any order, with what separates pieces in names and values, and enough text to be worth it.
    fn any_row() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec!["a", "b", "c,", "d:", ":", ",", "e"]);
        let value = prop::sample::select(vec![
            "1",
            "null",
            r#"",""#,
            r#"":""#,
            r#"",:,""#,
            r#"{"a":[1,2],"b":3}"#,
            r#""""#,
        ]);
        let fields = prop::collection::vec((name, value), 0..9);
        fields.prop_map(|fields| {
            let fields = fields
                .iter()
                .map(|(name, value)| format!(r#""{name}":{value},"#));
            let filler = "x".repeat(200);
            format!(r#"{{{}"end":"{filler}"}}"#, fields.collect::<String>())
        })
    }
}
