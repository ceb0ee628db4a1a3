//! Judges the rows of agents.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{DATE, EVERYBODY, Judge};
use crate::server::check::survey::{
    answer::AnsweredRow,
    findings::{DateForm, Form, People, Presence},
    question::Question,
};

impl Judge<'_> {
    /// Returns the most informative rows of agents: all if they came at once, otherwise a page, otherwise the queue's.
    fn rows(&self) -> Option<&Vec<AnsweredRow>> {
        let all = self.answers.get(Question::Largest);
        let all = all.filter(|answer| self.is_whole(answer));
        let lists = [Question::Everybody, Question::Queue].into_iter();
        let lists = all
            .into_iter()
            .chain(lists.filter_map(|one| self.answers.get(one)));
        let mut rows = lists.filter_map(|answer| Some(&answer.list.as_ref()?.rows));
        rows.find(|rows| !rows.is_empty())
    }

    pub(super) fn people(&self) -> Option<People> {
        let agents = self.rows()?.iter().filter_map(|row| row.agent.as_ref());
        let mut people = People::default();
        for agent in agents {
            let is_available = agent.available == Some(true);
            people.listed += 1;
            people.on_call += u64::from(agent.on_call);
            people.available += u64::from(is_available);
            people.available_on_call += u64::from(is_available && agent.on_call);
            let is_unready = !agent.on_call && agent.ready == Some(false);
            people.available_not_ready += u64::from(is_available && is_unready);
        }
        Some(people)
    }

    /// Counts agents on the first page. If that has only agents with a date, or only those without, it is no sample of all, so those on the other lists
    /// of everybody count, too.
    pub(super) fn undated_percent(&self) -> Option<u8> {
        let rows = self.rows()?;
        let undated = rows.iter().filter(|row| row.changed().is_none()).count();
        let (undated, all) = match undated == 0 || undated == rows.len() {
            true => self.undated_on_all_lists(),
            false => (undated, rows.len()),
        };
        let percent = (undated * 100 + all / 2) / all.max(1);
        // A single one in thousands is not none.
        Some(percent.max(usize::from(undated > 0)) as u8)
    }

    /// Returns how many agents without a date are on the lists of everybody, and how many agents.
    fn undated_on_all_lists(&self) -> (usize, usize) {
        let rows = EVERYBODY.iter().filter_map(|one| self.answers.list(*one));
        let rows = rows
            .flat_map(|list| &list.rows)
            .chain(self.rows().into_iter().flatten());
        let is_undated: HashMap<_, _> = rows
            .map(|row| {
                (
                    row.agent.as_ref().map(|agent| &agent.id),
                    row.changed().is_none(),
                )
            })
            .collect();
        let undated = is_undated.values().filter(|undated| **undated);
        (undated.count(), is_undated.len())
    }

    pub(super) fn queue_logged_in(&self, question: Question) -> Option<Presence> {
        let rows = &self.answers.list(question)?.rows;
        let has = rows
            .iter()
            .filter(|row| row.value.get("queue_logged_in").is_some())
            .count();
        match (has, rows.len()) {
            (_, 0) => None,
            (0, _) => Some(Presence::None),
            (has, all) if has == all => Some(Presence::All),
            _ => Some(Presence::Some),
        }
    }

    pub(super) fn form(&self, field: &str) -> Option<Form> {
        let form = |row: &AnsweredRow| match row.value.get(field) {
            None | Some(Value::Null) => Form::Null,
            Some(Value::Number(_)) => Form::Number,
            Some(Value::Object(_)) => Form::Object,
            Some(Value::String(text)) if text.contains('/') => Form::Url,
            Some(Value::String(text)) if is_number(text) => Form::Number,
            Some(_) => Form::Text,
        };
        one(self.rows()?.iter().map(form)).map(|form| form.unwrap_or(Form::Mixed))
    }

    pub(super) fn dates(&self) -> Option<DateForm> {
        let rows = self.rows()?;
        let dated = rows
            .iter()
            .filter_map(|row| Some((row.text(DATE)?, row.changed())));
        let mut forms: Vec<DateForm> = dated.map(|(text, read)| date_form(text, read)).collect();
        // Python omits a fraction that is zero.
        if forms.contains(&DateForm::Fractions) {
            forms.retain(|form| *form != DateForm::Seconds);
        }
        one(forms.into_iter()).map(|form| form.unwrap_or(DateForm::Unreadable))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the value that all share; `Some(None)` if they differ, `None` if there are none.
fn one<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<Option<T>> {
    let first = values.next()?;
    Some(values.all(|value| value == first).then_some(first))
}

fn date_form(text: &str, read: Option<Timestamp>) -> DateForm {
    let time = text.split_once(['T', ' ']).map_or("", |(_, time)| time);
    let has_offset = time.contains(['+', '-']) && !time.ends_with("+00:00");
    match read {
        None => DateForm::Unreadable,
        Some(_) if has_offset => DateForm::Offset,
        Some(_) if text.contains(' ') => DateForm::Spaced,
        Some(_) if time.contains('.') => DateForm::Fractions,
        Some(_) => DateForm::Seconds,
    }
}
