//! Findings in words, and what they mean for openseat. They name nobody, so they are part of the report.

use super::findings::{
    Access, Agreement, Count, DateForm, Envelope, Filter, Findings, Form, Links, Ordering,
    PageSizeMax, PastTheEnd, People, Presence, UnknownQueue,
};
use crate::calltools::PAGE_SIZE;

/// A subject, and a sentence about it.
type Line = (&'static str, String);

/// Describes all findings, one line each, and at the end what could not be judged.
pub(super) fn words(found: &Findings, ordering_field: &str) -> Vec<String> {
    let lines = [
        lists(found),
        paging(found),
        order(found, ordering_field),
        rows(found),
        people(found.people.as_ref()),
        clocks(found),
    ];
    let mut open: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut sentences = Vec::new();
    for (subject, sentence) in lines.into_iter().flatten() {
        if !sentence.is_empty() {
            sentences.push(format!("{subject}: {sentence}"));
            continue;
        }
        let why = why_open(subject, found);
        match open.iter_mut().find(|(known, _)| *known == why) {
            Some((_, subjects)) => subjects.push(subject),
            None => open.push((why, vec![subject])),
        }
    }
    open.push((FEW_REQUESTS, unseen(found)));
    let open = open.into_iter();
    sentences
        .extend(open.map(|(why, subjects)| format!("not judged: {} ({why})", subjects.join(", "))));
    sentences
}

/// Says why a finding is open.
fn why_open(subject: &str, found: &Findings) -> &'static str {
    let page = found.largest_page.unwrap_or(u64::from(PAGE_SIZE));
    let is_large = found.agents.is_some_and(|agents| agents > page);
    let is_bare = found.envelope == Some(Envelope::BareArray);
    let came_whole = is_bare || !is_large || found.page_size_max == Some(PageSizeMax::Whole);
    match subject {
        _ if is_bare && OF_PAGES.contains(&subject) => "lists have no pages",
        "everybody and the queue" if came_whole && found.agents.is_some() => {
            "the queue is empty, or was not read"
        }
        "everybody and the queue" if is_large => "the list of everybody has more than one page",
        "ordering" if found.undated_first == Some(true) => {
            "the first page has only agents without a date"
        }
        _ if is_large => "an answer is missing, or does not show it",
        _ => "the account is too small, or an answer is missing",
    }
}

/// What lists without pages do not have.
const OF_PAGES: [&str; 6] = [
    "default page size",
    "largest page",
    "page_size=max",
    "count",
    "a page after the last",
    "links",
];

/// A survey may end before its tenth request, so this says no number.
const FEW_REQUESTS: &str = "a few requests cannot show it; openseat simulate has options for it";

/// What no survey finds, as opposed to a daemon that reads lists for hours.
fn unseen(found: &Findings) -> Vec<&'static str> {
    let mut unseen = vec![
        "copies of the data that lag",
        "changes that appear late or keep their date",
        "the order of equal dates",
        "rows that move between pages",
        "Retry-After",
    ];
    if found.cached_seconds.is_none() {
        unseen.push("a cache on the way");
    }
    unseen
}

fn line<T>(subject: &'static str, found: Option<T>, sentence: impl Fn(T) -> String) -> Line {
    (subject, found.map_or(String::new(), sentence))
}

fn lists(found: &Findings) -> Vec<Line> {
    let size = |list: &str, access: Access, size: Option<u64>| match (access, size) {
        (Access::Readable, Some(size)) => format!("{list} can be read and has {size} entries"),
        (Access::Readable, None) => format!("{list} can be read"),
        (Access::Forbidden, _) => format!("{list} may not be read with this token"),
        (Access::NotFound, _) => format!("{list} is not there"),
        (Access::Failed, _) => format!("{list} could not be read"),
    };
    let queues = |access| size("queues/", access, found.queues);
    let statuses = |access| size("statuses/", access, found.statuses);
    let everybody = |access| size("agentstatuses/ without a queue", access, found.agents);
    vec![
        line("queues", found.queues_list, queues),
        line("statuses", found.statuses_list, statuses),
        line("everybody", found.everybody_list, everybody),
        line("everybody and the queue", found.everybody, |agreement| {
            match agreement {
                Agreement::Whole => "all agents of the queue are on the list of everybody",
                Agreement::Partial => "some agents of the queue are not on the list of everybody; openseat then polls queues only",
                Agreement::Stale => "agents who are available in the queue are not available on the list of everybody; openseat then polls queues only",
            }
            .to_owned()
        }),
        line("an unknown queue", found.unknown_queue, |answer| {
            match answer {
                UnknownQueue::Refused => "is refused (400)",
                UnknownQueue::NotFound => "is not found (404)",
                UnknownQueue::Empty => "looks like a queue without agents, so a wrong id cannot be told from an empty queue",
                UnknownQueue::Everybody => "brings everybody: the filter queue= is ignored; openseat cannot work with that",
            }
            .to_owned()
        }),
    ]
}

fn paging(found: &Findings) -> Vec<Line> {
    vec![
        line("lists", found.envelope, |envelope| {
            match envelope {
                Envelope::Pages => "come page by page",
                Envelope::BareArray => "come whole, as bare arrays",
            }
            .to_owned()
        }),
        line("default page size", found.default_page_size, |size| {
            format!("{size} rows")
        }),
        line("largest page", found.largest_page, |size| {
            format!("{size} rows come where 1000 are asked for")
        }),
        line("page_size=max", found.page_size_max, |max| {
            match max {
                PageSizeMax::Whole => "brings the whole list",
                PageSizeMax::Clipped => "brings one page of the usual largest size",
                PageSizeMax::Ignored => "brings one page of the default size",
                PageSizeMax::Refused => "is refused",
            }
            .to_owned()
        }),
        line("count", found.count, |count| match count {
            Count::Exact => "is the number of rows".to_owned(),
            Count::OffBy(off @ 1..) => format!("is {off} more than the rows"),
            Count::OffBy(off) => format!("is {} less than the rows", -off),
            Count::Absent => "is not given".to_owned(),
        }),
        line("a page after the last", found.past_the_end, |end| {
            match end {
                PastTheEnd::NotFound => "is not found (404)",
                PastTheEnd::Empty => "is empty",
                PastTheEnd::BeginsAgain => "is the first one again",
            }
            .to_owned()
        }),
        line("links", found.links, |links| {
            match links {
                Links::Same => "lead to the address that was asked",
                Links::Elsewhere => "lead to another address, as behind a proxy; openseat reads only the page's number from them",
            }
            .to_owned()
        }),
    ]
}

fn order(found: &Findings, ordering_field: &str) -> Vec<Line> {
    let ordering = |ordering: &Ordering| {
        let asked = format!("ordering=-{ordering_field}");
        match ordering {
            Ordering::NewestFirst => format!("{asked} sorts, those first who changed last"),
            Ordering::OldestFirst => format!("{asked} sorts, but the minus is ignored"),
            Ordering::ByOther(other) => {
                format!("{asked} sorts by {} instead", <&str>::from(*other))
            }
            Ordering::Ignored => format!(
                "{asked} is ignored; if CallTools' support knows another name, write it as ordering_field"
            ),
            Ordering::Unsorted => {
                format!("{asked} changes the order, but not to that of the dates")
            }
            Ordering::Refused => format!("{asked} is refused"),
        }
    };
    let filter = |filter| match filter {
        Filter::Works => "works".to_owned(),
        Filter::Ignored => "is ignored".to_owned(),
        Filter::Refused => "is refused".to_owned(),
    };
    vec![
        line("ordering", found.ordering.as_ref(), ordering),
        line("agents without a date", found.undated_percent, |share| {
            let place = match found.undated_first {
                Some(true) => "; they stand first when ordered",
                Some(false) => "; they stand last when ordered",
                None => "",
            };
            format!("{share} %{place}")
        }),
        line("filter agent_status", found.status_filter, filter),
        line(
            "filter agent_status_modified_on__gte",
            found.change_filter,
            filter,
        ),
    ]
}

fn rows(found: &Findings) -> Vec<Line> {
    let presence = |presence| match presence {
        Presence::All => "all rows have it".to_owned(),
        Presence::Some => "some rows have it".to_owned(),
        Presence::None => "no row has it".to_owned(),
    };
    let form = |form| match form {
        Form::Number => "numbers".to_owned(),
        Form::Text => "texts".to_owned(),
        Form::Url => "addresses".to_owned(),
        Form::Object => "objects".to_owned(),
        Form::Null => "nothing".to_owned(),
        Form::Mixed => "not the same in all rows".to_owned(),
    };
    let dates = |dates| match dates {
        DateForm::Fractions => "with fractions of a second".to_owned(),
        DateForm::Seconds => "in whole seconds".to_owned(),
        DateForm::Spaced => "in whole seconds, with a space and without an offset".to_owned(),
        DateForm::Offset => "with an offset from UTC".to_owned(),
        DateForm::Unreadable => "in a way that openseat cannot read".to_owned(),
    };
    vec![
        line(
            "queue_logged_in of a queue",
            found.queue_logged_in_with_queue,
            presence,
        ),
        line(
            "queue_logged_in of everybody",
            found.queue_logged_in_without_queue,
            presence,
        ),
        line("agent_status", found.agent_status, form),
        line("app_user", found.app_user, form),
        line("dates", found.dates, dates),
    ]
}

fn people(people: Option<&People>) -> Vec<Line> {
    vec![line("people", people, |people| {
        format!(
            "{} of {} listed are available; of these, {} are on a call, and {} others are not ready",
            people.available, people.listed, people.available_on_call, people.available_not_ready
        )
    })]
}

fn clocks(found: &Findings) -> Vec<Line> {
    let apart = |seconds: i64| match seconds {
        -2..=2 => "agrees with this machine's".to_owned(),
        3.. => format!("is {seconds} s ahead of this machine's"),
        _ => format!("is {} s behind this machine's", -seconds),
    };
    let newest = |seconds: i64| match seconds {
        ..=1 => format!("{} s ago by CallTools' clock", -seconds.min(0)),
        _ => format!(
            "{seconds} s in the future by CallTools' clock: its dates may be in local time, or several clocks write them"
        ),
    };
    let mut lines = vec![
        line("CallTools' clock", found.clock_ahead_seconds, apart),
        line("newest change", found.newest_change_ahead_seconds, newest),
        line("answers", found.latency_ms, |ms| format!("take {ms} ms")),
    ];
    if let Some(seconds) = found.cached_seconds {
        lines.push((
            "cache",
            format!("a cache on the way had kept an answer for {seconds} s"),
        ));
    }
    lines
}
