//! Judges how a list is ordered.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use jiff::Timestamp;

use super::{
    answer::{AnsweredRow, Answers, List},
    findings::{Ordering, OtherDate},
    question::Question,
};
use crate::{calltools, model::agent::AgentId};

/// With fewer dates, many lists would be sorted by chance.
const FEW: usize = 5;

/// Judges what `ordering=` does, and whether agents without a date come first.
pub(super) fn judge(answers: &Answers) -> (Option<Ordering>, Option<bool>) {
    let Some(answer) = answers.get(Question::Ordered) else {
        return (None, None);
    };
    let Some(list) = &answer.list else {
        // A list that cannot be read at all says nothing about order.
        let is_readable = answers.list(Question::Everybody).is_some();
        let is_refused = is_readable && matches!(answer.status(), Some(400 | 403 | 404));
        return (is_refused.then_some(Ordering::Refused), None);
    };
    let usual = answers.list(Question::Everybody);
    let ordering = ordering(list, usual);
    let undated_first = match ordering {
        Some(Ordering::NewestFirst | Ordering::OldestFirst) => undated_first(list, usual),
        None if only_undated_came(list, usual) => Some(true),
        _ => None,
    };
    (ordering, undated_first)
}

fn ordering(list: &List, usual: Option<&List>) -> Option<Ordering> {
    let dates = dates(list, AnsweredRow::changed);
    let as_usual = usual.is_some_and(|usual| is_alike(list, usual));
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

/// The percentage of neighbours that two lists in the same order share. A few agents come and go between two requests.
const ALIKE_PERCENT: usize = 80;

/// Whether two lists are in the same order, meaning that most neighbours in one are neighbours in the other.
fn is_alike(list: &List, usual: &List) -> bool {
    let (list, usual) = (users(list), users(usual));
    let usual: HashSet<_> = usual.windows(2).collect();
    let pairs = list.len().saturating_sub(1);
    let same = list.windows(2).filter(|pair| usual.contains(pair)).count();
    same * 100 >= pairs * ALIKE_PERCENT
}

/// Returns the agents of the first rows, as many as a page has: with `ordering=`, more rows were requested.
fn users(list: &List) -> Vec<Option<&AgentId>> {
    let page = list.rows.iter().take(calltools::PAGE_SIZE as usize);
    page.map(|row| row.agent.as_ref().map(|agent| &agent.id))
        .collect()
}

fn dates(list: &List, date: impl Fn(&AnsweredRow) -> Option<Timestamp>) -> Vec<Timestamp> {
    list.rows.iter().filter_map(date).collect()
}

fn is_sorted_by(list: &List, field: OtherDate) -> bool {
    let dates = dates(list, |row| calltools::timestamp(row.text(field.into())?));
    dates.len() >= FEW && (dates.is_sorted() || dates.is_sorted_by(|a, b| a >= b))
}

/// Whether a page has only agents without a date, although others have one. So the list is sorted; which way, only its later pages show.
fn only_undated_came(list: &List, usual: Option<&List>) -> bool {
    let dated = |list: &List| dates(list, AnsweredRow::changed).len();
    !list.rows.is_empty() && dated(list) == 0 && usual.is_some_and(|usual| dated(usual) >= FEW)
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
