//! Judges answers. Pure; findings that they do not show stay `None`.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    answer::{Answer, AnsweredRow, Answers, List},
    findings::{
        Access, Agreement, Count, DateForm, Envelope, Filter, Findings, Form, Links, PageSizeMax,
        PastTheEnd, People, Presence, UnknownQueue,
    },
    order,
    paths::{Subject, middle_date},
    question::Question,
};
use crate::calltools::PAGE_SIZE;

/// Everything that the answers show.
pub(super) fn judge(subject: &Subject<'_>, answers: &Answers) -> Findings {
    let judge = Judge { subject, answers };
    let (ordering, undated_first) = order::judge(answers);
    Findings {
        queues: judge.size(Question::Queues),
        statuses: judge.size(Question::Statuses),
        agents: judge.size(Question::Everybody),
        people: judge.people(),
        queues_list: judge.access(Question::Queues),
        statuses_list: judge.access(Question::Statuses),
        everybody_list: judge.access(Question::Everybody),
        everybody: judge.agreement(),
        envelope: judge.envelope(),
        default_page_size: judge.default_page_size(),
        largest_page: judge.largest_page(),
        page_size_max: judge.page_size_max(),
        count: judge.count(),
        past_the_end: judge.past_the_end(),
        links: judge.links(),
        ordering,
        undated_first,
        undated_percent: judge.undated_percent(),
        status_filter: judge.status_filter(),
        change_filter: judge.change_filter(),
        unknown_queue: judge.unknown_queue(),
        queue_logged_in_without_queue: judge.queue_logged_in(Question::Everybody),
        queue_logged_in_with_queue: judge.queue_logged_in(Question::Queue),
        agent_status: judge.form("agent_status"),
        app_user: judge.form("app_user"),
        dates: judge.dates(),
        clock_ahead_seconds: judge.clock_ahead_seconds(),
        newest_change_ahead_seconds: judge.newest_change_ahead_seconds(),
        cached_seconds: judge.cached_seconds(),
        latency_ms: judge.latency_ms(),
    }
}

struct Judge<'a> {
    subject: &'a Subject<'a>,
    answers: &'a Answers,
}

/// Lists.
impl Judge<'_> {
    /// Returns the number of rows of a complete list, or else its `count`, corrected by the known error of counts.
    fn size(&self, question: Question) -> Option<u64> {
        let answer = self.answers.get(question)?;
        let list = answer.list.as_ref()?;
        let off = match self.count() {
            Some(Count::OffBy(off)) => off,
            _ => 0,
        };
        Some(match self.is_whole(answer) {
            true => list.rows.len() as u64,
            false => list.total().saturating_add_signed(-off),
        })
    }

    fn access(&self, question: Question) -> Option<Access> {
        let answer = self.answers.get(question)?;
        Some(match answer.status() {
            Some(200) if answer.list.is_some() && answer.fault.is_none() => Access::Readable,
            Some(401 | 403) => Access::Forbidden,
            Some(404) => Access::NotFound,
            _ => Access::Failed,
        })
    }

    fn envelope(&self) -> Option<Envelope> {
        let mut lists = self
            .answers
            .0
            .iter()
            .filter_map(|answer| answer.list.as_ref());
        lists.next().map(|list| match list.is_bare {
            true => Envelope::BareArray,
            false => Envelope::Pages,
        })
    }

    /// A list that comes page by page.
    fn pages(&self, question: Question) -> Option<&List> {
        let list = self.answers.list(question)?;
        (!list.is_bare).then_some(list)
    }

    fn default_page_size(&self) -> Option<u64> {
        let list = self.pages(Question::ChangedSince)?;
        let rows = list.rows.len() as u64;
        // A list that ends there may be shorter than a page.
        (list.next.is_some() && (rows < list.total() || rows == 0)).then_some(rows)
    }

    fn largest_page(&self) -> Option<u64> {
        let list = self.pages(Question::Ordered)?;
        let is_cut = list.next.is_some() && !self.lists_are_endless();
        let is_long = is_cut || list.total() > u64::from(PAGE_SIZE);
        is_long.then_some(list.rows.len() as u64)
    }

    fn page_size_max(&self) -> Option<PageSizeMax> {
        let answer = self.answers.get(Question::Largest)?;
        let all = self.size(Question::Everybody)?;
        if matches!(answer.status(), Some(400 | 404)) {
            return Some(PageSizeMax::Refused);
        }
        let list = self.pages(Question::Largest)?;
        let rows = list.rows.len() as u64;
        let page = self.largest_page().unwrap_or(u64::from(PAGE_SIZE));
        if rows < page && rows < all && list.next.is_some() {
            return Some(PageSizeMax::Ignored);
        }
        // A complete list no longer than a page looks like a page.
        (all > page).then_some(match list.next {
            Some(_) if rows < all => PageSizeMax::Clipped,
            _ => PageSizeMax::Whole,
        })
    }

    /// From the first complete list. Longer lists come first, since the count may be wrong in some lists only.
    fn count(&self) -> Option<Count> {
        let questions = [
            Question::Everybody,
            Question::Queue,
            Question::WithStatus,
            Question::Queues,
        ];
        let mut answers = questions
            .into_iter()
            .filter_map(|one| self.answers.get(one));
        let answer = answers.find(|answer| self.is_whole(answer))?;
        let list = answer.list.as_ref().filter(|list| !list.is_bare)?;
        Some(match list.count {
            None => Count::Absent,
            Some(count) => match count as i64 - list.rows.len() as i64 {
                0 => Count::Exact,
                off => Count::OffBy(off),
            },
        })
    }

    fn is_whole(&self, answer: &Answer) -> bool {
        answer.is_whole(self.lists_are_endless())
    }

    fn lists_are_endless(&self) -> bool {
        self.past_the_end() == Some(PastTheEnd::BeginsAgain)
    }

    fn past_the_end(&self) -> Option<PastTheEnd> {
        let answer = self.answers.get(Question::PastTheEnd)?;
        if answer.status() == Some(404) {
            return Some(PastTheEnd::NotFound);
        }
        let list = answer.list.as_ref().filter(|list| !list.is_bare)?;
        Some(match list.rows.is_empty() {
            true => PastTheEnd::Empty,
            false => PastTheEnd::BeginsAgain,
        })
    }

    fn links(&self) -> Option<Links> {
        let mut lists = self
            .answers
            .0
            .iter()
            .filter_map(|answer| answer.list.as_ref());
        let link = lists.find_map(|list| list.next.as_deref())?;
        // A link without a host leads to the same host.
        let link = self.subject.base_url.join(link).ok()?;
        Some(match link.origin() == self.subject.base_url.origin() {
            true => Links::Same,
            false => Links::Elsewhere,
        })
    }
}

/// Filters.
impl Judge<'_> {
    fn status_filter(&self) -> Option<Filter> {
        let answer = self.answers.get(Question::WithStatus)?;
        // If the list cannot be read without a filter, a rejection says nothing about the filter.
        let others = self.answers.list(Question::Everybody)?;
        if is_refused(answer) {
            return Some(Filter::Refused);
        }
        let names = self.answers.names();
        let (_, id) = answer.path.rsplit_once("agent_status=")?;
        let id = id.parse().ok()?;
        let fits = |row: &AnsweredRow| row.has_status(id, &names);
        match answer.list.as_ref()?.rows.iter().all(fits) {
            false => Some(Filter::Ignored),
            true if others.rows.iter().all(fits) => None,
            true => Some(Filter::Works),
        }
    }

    fn change_filter(&self) -> Option<Filter> {
        let answer = self.answers.get(Question::ChangedSince)?;
        let since = self.changed(middle_date(self.answers)?)?;
        if is_refused(answer) {
            return Some(Filter::Refused);
        }
        let is_older = |row: &AnsweredRow| row.changed().is_none_or(|changed| changed < since);
        let some_are_older = |list: &List| list.rows.iter().any(is_older);
        let list = answer.list.as_ref()?;
        match (
            some_are_older(list),
            some_are_older(self.answers.list(Question::Everybody)?),
        ) {
            (true, _) => Some(Filter::Ignored),
            (false, true) if list.total() < self.size(Question::Everybody)? => Some(Filter::Works),
            // A page without an older date may be chance.
            _ => None,
        }
    }

    /// The moment that a row's date stands for.
    fn changed(&self, date: &str) -> Option<Timestamp> {
        let rows = &self.answers.list(Question::Everybody)?.rows;
        let mut rows = rows.iter();
        rows.find(|row| row.text(DATE) == Some(date))?.changed()
    }

    fn unknown_queue(&self) -> Option<UnknownQueue> {
        let answer = self.answers.get(Question::UnknownQueue)?;
        match answer.status()? {
            400 => Some(UnknownQueue::Refused),
            404 => Some(UnknownQueue::NotFound),
            200 => Some(match answer.list.as_ref()?.rows.is_empty() {
                true => UnknownQueue::Empty,
                false => UnknownQueue::Everybody,
            }),
            _ => None,
        }
    }

    /// Needs a complete list of all agents; stale statuses show on a single page too.
    fn agreement(&self) -> Option<Agreement> {
        let queue = self.answers.list(Question::Queue)?;
        let mut whole = [Question::Everybody, Question::Largest]
            .into_iter()
            .filter_map(|one| self.answers.get(one))
            .filter(|answer| self.is_whole(answer));
        let whole = whole.next().and_then(|answer| answer.list.as_ref());
        let all = whole.or(self.answers.list(Question::Everybody))?;
        let find = |id| all.agents().find(|agent| agent.id == id);
        let pairs: Vec<_> = queue
            .agents()
            .map(|agent| (agent, find(agent.id.clone())))
            .collect();
        let on_both = pairs
            .iter()
            .filter_map(|(agent, there)| Some((agent, (*there)?)));
        let of_available: Vec<_> = on_both
            .filter(|(agent, _)| agent.available == Some(true))
            .collect();
        let is_stale = of_available.len() >= FEW
            && of_available
                .iter()
                .all(|(_, there)| there.available != Some(true));
        if is_stale {
            return Some(Agreement::Stale);
        }
        if whole.is_none() || pairs.is_empty() {
            return None;
        }
        let someone_is_missing = pairs.iter().any(|(_, there)| there.is_none());
        Some(match someone_is_missing {
            true => Agreement::Partial,
            false => Agreement::Whole,
        })
    }
}

/// One agent may change between two requests; two changes at once are rare.
const FEW: usize = 2;

/// The field that lists are ordered by.
pub(super) const DATE: &str = "agent_status_modified_on";

fn is_refused(answer: &Answer) -> bool {
    matches!(answer.status(), Some(400 | 403 | 404))
}

/// Rows.
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

    fn people(&self) -> Option<People> {
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

    fn undated_percent(&self) -> Option<u8> {
        let rows = self.rows()?;
        let undated = rows.iter().filter(|row| row.changed().is_none()).count();
        let percent = (undated * 100 + rows.len() / 2) / rows.len();
        // A single one in thousands is not none.
        Some(percent.max(usize::from(undated > 0)) as u8)
    }

    fn queue_logged_in(&self, question: Question) -> Option<Presence> {
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

    fn form(&self, field: &str) -> Option<Form> {
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

    fn dates(&self) -> Option<DateForm> {
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

/// Clocks.
impl Judge<'_> {
    /// CallTools' `Date` has whole seconds. The round trip would not allow more precision anyway.
    fn clock_ahead_seconds(&self) -> Option<i64> {
        let mut ahead = self.answers.0.iter().filter_map(|answer| {
            let here = answer.asked.later(answer.took / 2).timestamp();
            Some(answer.date()?.as_second() - here.as_second())
        });
        ahead.next()
    }

    fn newest_change_ahead_seconds(&self) -> Option<i64> {
        let newest = |answer: &Answer| {
            let rows = answer.list.as_ref()?.rows.iter();
            let newest = rows.filter_map(AnsweredRow::changed).max()?;
            let here = answer.asked.later(answer.took).timestamp();
            let now = answer.date().unwrap_or(here);
            Some(newest.as_second() - now.as_second())
        };
        self.answers.0.iter().filter_map(newest).max()
    }

    fn cached_seconds(&self) -> Option<u64> {
        self.answers.0.iter().filter_map(Answer::age_seconds).max()
    }

    fn latency_ms(&self) -> Option<u64> {
        let mut took: Vec<_> = self.answers.0.iter().map(|answer| answer.took).collect();
        took.sort_unstable();
        Some(took.get(took.len() / 2)?.as_millis() as u64)
    }
}
