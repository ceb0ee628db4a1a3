//! Judges how a list is ordered.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    answer::{AnsweredRow, Answers, List},
    findings::{Ordering, OtherDate},
    question::Question,
};
use crate::calltools;

/// Of so few dates, many lists would be in order by chance.
const FEW: usize = 5;

/// What `ordering=` does, and whether agents without a date stand first.
pub(super) fn judge(answers: &Answers) -> (Option<Ordering>, Option<bool>) {
    let Some(answer) = answers.get(Question::Ordered) else {
        return (None, None);
    };
    let Some(list) = &answer.list else {
        // Where the list cannot be read at all, that says nothing about its order.
        let is_readable = answers.list(Question::Everybody).is_some();
        let is_refused = is_readable && matches!(answer.status(), Some(400 | 403 | 404));
        return (is_refused.then_some(Ordering::Refused), None);
    };
    let ordering = ordering(list, answers.list(Question::Everybody));
    let undated_first = match ordering {
        Some(Ordering::NewestFirst) => undated_first(list, answers.list(Question::Everybody)),
        _ => None,
    };
    (ordering, undated_first)
}

fn ordering(list: &List, usual: Option<&List>) -> Option<Ordering> {
    let dates = dates(list, AnsweredRow::changed);
    let as_usual = usual.is_some_and(|usual| users(usual) == users(list));
    let mut distinct = dates.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < 2 || distinct.len() < FEW && as_usual {
        return None;
    }
    if dates.is_sorted_by(|a, b| a >= b) {
        return Some(Ordering::NewestFirst);
    }
    if dates.is_sorted() && !as_usual {
        return Some(Ordering::OldestFirst);
    }
    if as_usual {
        return Some(Ordering::Ignored);
    }
    let others = [
        OtherDate::LoggedInSince,
        OtherDate::ReadySince,
        OtherDate::WebPhoneRegisteredOn,
    ];
    let mut sorted = others
        .into_iter()
        .filter(|other| is_sorted_by(list, *other));
    Some(sorted.next().map_or(Ordering::Unsorted, Ordering::ByOther))
}

/// The first rows, as many as a page has: with `ordering=` more were asked for.
fn users(list: &List) -> Vec<Option<&Value>> {
    let page = list.rows.iter().take(calltools::PAGE_SIZE as usize);
    page.map(|row| row.value.get("app_user")).collect()
}

fn dates(list: &List, date: impl Fn(&AnsweredRow) -> Option<Timestamp>) -> Vec<Timestamp> {
    list.rows.iter().filter_map(date).collect()
}

fn is_sorted_by(list: &List, field: OtherDate) -> bool {
    let dates = dates(list, |row| calltools::timestamp(row.text(field.into())?));
    dates.len() >= FEW && (dates.is_sorted() || dates.is_sorted_by(|a, b| a >= b))
}

fn undated_first(list: &List, usual: Option<&List>) -> Option<bool> {
    let is_undated = |row: &AnsweredRow| row.changed().is_none();
    let somebody_is = |list: &List| list.rows.iter().any(is_undated);
    match list.rows.first() {
        Some(first) if is_undated(first) => Some(true),
        _ if somebody_is(list) || usual.is_some_and(somebody_is) => Some(false),
        _ => None,
    }
}
