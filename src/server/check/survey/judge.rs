//! Judges answers. Pure; findings that they do not show stay `None`.

mod rows;

use jiff::Timestamp;

use super::{
    answer::{Answer, AnsweredRow, Answers, List},
    findings::{
        Access, Agreement, Count, Envelope, Filter, Findings, Links, PageSizeMax, PastTheEnd,
        UnknownQueue,
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
    /// Returns the number of rows of a complete list, or else its `count`, corrected by the known error of counts. `None` if there is neither.
    fn size(&self, question: Question) -> Option<u64> {
        let asked = self.answers.get(question)?;
        let others: &[Question] = match question {
            Question::Everybody => &EVERYBODY,
            _ => &[],
        };
        let others = others.iter().filter_map(|one| self.answers.get(*one));
        let mut lists = [asked].into_iter().chain(others);
        if let Some(whole) = lists.find(|answer| self.is_whole(answer)) {
            return Some(whole.list.as_ref()?.rows.len() as u64);
        }
        let off = match self.count() {
            Some(Count::OffBy(off)) => off,
            _ => 0,
        };
        let list = asked.list.as_ref()?;
        list.count?;
        Some(list.total().saturating_add_signed(-off))
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
        self.answers.list(Question::Everybody)?;
        let all = self.size(Question::Everybody);
        if matches!(answer.status(), Some(400 | 404)) {
            return Some(PageSizeMax::Refused);
        }
        let list = self.pages(Question::Largest)?;
        let rows = list.rows.len() as u64;
        let page = self.largest_page().unwrap_or(u64::from(PAGE_SIZE));
        let goes_on = list.next.is_some() && all.is_none_or(|all| rows < all);
        if rows < page && goes_on {
            return Some(PageSizeMax::Ignored);
        }
        // A complete list no longer than a page looks like a page.
        let is_long = all.map_or(goes_on, |all| all > page);
        is_long.then_some(match goes_on {
            true => PageSizeMax::Clipped,
            false => PageSizeMax::Whole,
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

/// The questions whose answers list everybody.
const EVERYBODY: [Question; 3] = [Question::Everybody, Question::Ordered, Question::Largest];

/// One agent may change between two requests; two changes at once are rare.
const FEW: usize = 2;

/// The field that lists are ordered by.
pub(super) const DATE: &str = "agent_status_modified_on";

fn is_refused(answer: &Answer) -> bool {
    matches!(answer.status(), Some(400 | 403 | 404))
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
