//! `openseat simulate --like FILE`: an account that behaves like the one in a report of `openseat check --report`.

mod bounds;
#[cfg(test)]
mod tests;

use std::{num::NonZeroUsize, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use jiff::SignedDuration;

use crate::{
    calltools::{ORDERING_FIELD, PAGE_SIZE},
    process::file,
    server::check::survey::{
        Access, Agreement, Count, DateForm, Envelope, Filter, Findings, Form, Links, Ordering,
        OtherDate, PageSizeMax, PastTheEnd, Presence, REPORT_FORMAT, SurveyReport, UnknownQueue,
    },
    simulator::{self, Quirks},
};

/// Ten answers with forty rows each are half a megabyte.
const MAX_REPORT: u64 = 64 * 1024 * 1024;

/// The time zones east of UTC differ by multiples of this many seconds: quarters of an hour.
const QUARTER: i64 = 900;

/// Those west of UTC differ by half hours, and none is further away than twelve hours.
const HALF_HOUR: i64 = 1_800;
const FURTHEST_WEST: i64 = -12 * 3_600;

/// In an account at work, the newest change of a status is younger than this, in seconds.
const NEWEST_CHANGE: i64 = 300;

/// No cache keeps an agent's status for longer than a day, in seconds. A header may say anything.
const LONGEST_CACHED: u64 = 86_400;

/// What a simulator needs to behave like an account.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Likeness {
    pub queues: usize,
    pub agents: usize,
    pub calls_without_status: u8,
    pub latency: Duration,
    pub quirks: Quirks,
    /// What the report says but no simulator does.
    pub not_imitated: Vec<&'static str>,
}

/// Reads a report.
///
/// # Errors
/// The file cannot be read, is not a report of this format, or has a number that no survey finds.
pub(super) fn read(path: &Path) -> anyhow::Result<SurveyReport> {
    let shown = path.display();
    let bytes = file::read(path, MAX_REPORT).with_context(|| format!("{shown} cannot be read"))?;
    let text = file::text(&bytes).with_context(|| format!("{shown} is not a report"))?;
    let report: SurveyReport = serde_json::from_str(text)
        .with_context(|| format!("{shown} is not a report of openseat check --report"))?;
    ensure!(
        report.format == REPORT_FORMAT,
        "{shown} is a report of format {}, and this openseat reads format {REPORT_FORMAT}; use openseat {}",
        report.format,
        report.openseat
    );
    bounds::check(&report.found).with_context(|| format!("{shown} is not as openseat wrote it"))?;
    Ok(report)
}

impl Likeness {
    /// Derives the settings from a report. What it could not judge keeps the default.
    pub fn of_report(report: &SurveyReport) -> Self {
        let found = &report.found;
        let usual = simulator::WorldSettings::lively();
        let agents = match found.everybody {
            // The simulator hides one in five again.
            Some(Agreement::Partial) => found.agents.map(|seen| seen * 5 / 4),
            _ => found.agents,
        };
        Self {
            // The bounds of --queues and --agents.
            queues: found
                .queues
                .map_or(usual.queues, |size| size.clamp(1, 10_000) as usize),
            agents: agents.map_or(usual.agents, |size| size.min(100_000) as usize),
            calls_without_status: calls_without_status(found),
            latency: Duration::from_millis(found.latency_ms.unwrap_or_default()),
            quirks: quirks(found, &report.ordering_field),
            not_imitated: not_imitated(found),
        }
    }
}

/// Returns the percentage of agents on a call who are available anyway.
fn calls_without_status(found: &Findings) -> u8 {
    let people = found.people.unwrap_or_default();
    match people.on_call {
        0 => 0,
        on_call => (people.available_on_call * 100).div_ceil(on_call).min(100) as u8,
    }
}

fn quirks(found: &Findings, ordering_field: &str) -> Quirks {
    let (dates_ahead, clocks_apart) = ahead(found);
    Quirks {
        agent_status: status_form(found.agent_status),
        app_user: user_form(found.app_user),
        dates: date_form(found.dates),
        bare_array: found.envelope == Some(Envelope::BareArray),
        queue_logged_in: login_field(found),
        foreign_queue: foreign_queue(found.unknown_queue),
        statuses_forbidden: found.statuses_list == Some(Access::Forbidden),
        sweep: sweep(found),
        // Either way, the filter cannot be used.
        status_filter_ignored: matches!(
            found.status_filter,
            Some(Filter::Ignored | Filter::Refused)
        ),
        change_filter: found.change_filter == Some(Filter::Works),
        count_off_by: match found.count {
            Some(Count::OffBy(off)) => off,
            _ => 0,
        },
        links_origin: (found.links == Some(Links::Elsewhere))
            .then(|| "https://links.invalid".to_owned()),
        ordering: ordering(found.ordering.as_ref(), ordering_field),
        ordering_name: ordering_name(found, ordering_field),
        nulls: nulls(found),
        undated_percent: found.undated_percent.unwrap_or_default().min(100),
        endless_pages: found.past_the_end == Some(PastTheEnd::BeginsAgain),
        page_limit: other_size(found.largest_page),
        page_size_max: match found.page_size_max {
            Some(PageSizeMax::Whole) => simulator::PageSizeMax::Whole,
            Some(PageSizeMax::Ignored) => simulator::PageSizeMax::Ignored,
            _ => simulator::PageSizeMax::Clipped,
        },
        dates_ahead,
        clocks_apart,
        // The oldest answer may have left the cache a second later.
        cache: found.cached_seconds.map_or(Duration::ZERO, |seconds| {
            Duration::from_secs(seconds.min(LONGEST_CACHED) + 1)
        }),
        ..Quirks::default()
    }
}

/// Returns how far all dates are ahead, and how far the clocks that write them are apart. Dates that are ahead or behind by a time zone are in local
/// time: no two clocks differ by so much. The newest change may be some minutes old.
fn ahead(found: &Findings) -> (SignedDuration, Duration) {
    let ahead = found.newest_change_ahead_seconds.unwrap_or_default();
    let step = if ahead < 0 { HALF_HOUR } else { QUARTER };
    let zone = ahead.saturating_add(step - 1).div_euclid(step) * step;
    if zone.saturating_sub(ahead) < NEWEST_CHANGE && zone >= FURTHEST_WEST {
        return (SignedDuration::from_secs(zone), Duration::ZERO);
    }
    // A second is the difference between a date and the clock in whole seconds that it is compared with. The newest change is some seconds old.
    let apart = u64::try_from(ahead).ok().filter(|ahead| *ahead > 1);
    let apart = apart.map_or(0, |ahead| ahead.saturating_add(1));
    (SignedDuration::ZERO, Duration::from_secs(apart))
}

fn status_form(form: Option<Form>) -> simulator::StatusForm {
    match form {
        Some(Form::Text) => simulator::StatusForm::Name,
        Some(Form::Null) => simulator::StatusForm::Null,
        _ => simulator::StatusForm::Id,
    }
}

fn user_form(form: Option<Form>) -> simulator::UserForm {
    match form {
        Some(Form::Number) => simulator::UserForm::Number,
        Some(Form::Url) => simulator::UserForm::Url,
        Some(Form::Object) => simulator::UserForm::Object,
        _ => simulator::UserForm::Uuid,
    }
}

fn date_form(form: Option<DateForm>) -> simulator::DateForm {
    match form {
        Some(DateForm::Seconds) => simulator::DateForm::Seconds,
        Some(DateForm::Spaced) => simulator::DateForm::Spaced,
        _ => simulator::DateForm::Rfc3339,
    }
}

fn login_field(found: &Findings) -> simulator::LoggedInField {
    match (
        found.queue_logged_in_with_queue,
        found.queue_logged_in_without_queue,
    ) {
        (_, Some(Presence::All)) => simulator::LoggedInField::Always,
        (Some(Presence::None), _) => simulator::LoggedInField::Never,
        _ => simulator::LoggedInField::WithQueue,
    }
}

fn foreign_queue(answer: Option<UnknownQueue>) -> simulator::ForeignQueue {
    match answer {
        Some(UnknownQueue::Empty) => simulator::ForeignQueue::Empty,
        Some(UnknownQueue::NotFound) => simulator::ForeignQueue::NotFound,
        _ => simulator::ForeignQueue::Refused,
    }
}

fn sweep(found: &Findings) -> simulator::SweepQuirk {
    match (found.everybody_list, found.everybody) {
        (Some(Access::Forbidden), _) => simulator::SweepQuirk::Forbidden,
        (Some(Access::NotFound), _) => simulator::SweepQuirk::NotFound,
        (_, Some(Agreement::Partial)) => simulator::SweepQuirk::Partial,
        (_, Some(Agreement::Stale)) => simulator::SweepQuirk::Stale,
        _ => simulator::SweepQuirk::Whole,
    }
}

fn ordering(ordering: Option<&Ordering>, asked: &str) -> simulator::Ordering {
    match ordering {
        Some(Ordering::OldestFirst) => simulator::Ordering::AscendingOnly,
        Some(Ordering::ByOther(date)) if is_as_asked(*date, asked) => simulator::Ordering::On,
        Some(Ordering::ByOther(_)) => simulator::Ordering::WrongField,
        Some(Ordering::Unsorted) => simulator::Ordering::ByNumber,
        Some(Ordering::Ignored | Ordering::Refused) => simulator::Ordering::Off,
        Some(Ordering::NewestFirst) | None => simulator::Ordering::On,
    }
}

/// Returns the name that has an effect in `ordering=`, if it is not the usual one.
fn ordering_name(found: &Findings, asked: &str) -> Option<String> {
    let has_effect = match found.ordering {
        Some(Ordering::ByOther(date)) => !is_as_asked(date, asked),
        Some(Ordering::NewestFirst | Ordering::OldestFirst | Ordering::Unsorted) => true,
        Some(Ordering::Ignored | Ordering::Refused) => false,
        // A first page that has only agents without a date is sorted; only which way is open.
        None => found.undated_first == Some(true),
    };
    (has_effect && asked != ORDERING_FIELD).then(|| asked.to_owned())
}

/// Whether a list is sorted by another date because that was asked for. Of these dates, the simulator can sort by this one.
fn is_as_asked(date: OtherDate, asked: &str) -> bool {
    date == OtherDate::LoggedInSince && asked == <&str>::from(date)
}

/// Nulls come first if they count as the largest and the order descends, or the other way round.
fn nulls(found: &Findings) -> simulator::NullOrder {
    let ascends = found.ordering == Some(Ordering::OldestFirst);
    match found.undated_first {
        Some(first) if first == ascends => simulator::NullOrder::Smallest,
        _ => simulator::NullOrder::Largest,
    }
}

/// Returns the largest page, if it is not the usual one.
fn other_size(largest: Option<u64>) -> Option<NonZeroUsize> {
    let other = largest.filter(|size| *size != u64::from(PAGE_SIZE))?;
    NonZeroUsize::new(usize::try_from(other).ok()?)
}

/// Lists what the report says and the simulator cannot do.
fn not_imitated(found: &Findings) -> Vec<&'static str> {
    let cases = lists_not_imitated(found).into_iter();
    let cases = cases.chain(rows_not_imitated(found));
    let cases = cases.filter(|(is_so, _)| *is_so);
    cases.map(|(_, what)| what).collect()
}

fn lists_not_imitated(found: &Findings) -> [(bool, &'static str); 10] {
    let is_other = |list: Option<Access>, known: &[Access]| {
        list.is_some_and(|access| access != Access::Readable && !known.contains(&access))
    };
    let default_size = found.largest_page.map_or(25, |largest| largest.min(25));
    let other_size = found
        .default_page_size
        .is_some_and(|size| size != default_size);
    let other_order = matches!(
        found.ordering,
        Some(
            Ordering::Refused
                | Ordering::Unsorted
                | Ordering::ByOther(OtherDate::ReadySince | OtherDate::WebPhoneRegisteredOn)
        )
    );
    let statuses = is_other(found.statuses_list, &[Access::Forbidden]);
    let everybody = [Access::Forbidden, Access::NotFound];
    let everybody = is_other(found.everybody_list, &everybody);
    let filters = [found.status_filter, found.change_filter];
    let max_is_refused = found.page_size_max == Some(PageSizeMax::Refused);
    let ends_empty = found.past_the_end == Some(PastTheEnd::Empty);
    let is_unfiltered = found.unknown_queue == Some(UnknownQueue::Everybody);
    [
        (is_other(found.queues_list, &[]), "queues/ cannot be read"),
        (statuses, "statuses/ cannot be read"),
        (everybody, "the list of everybody cannot be read"),
        (other_order, "how ordering= sorts"),
        (
            filters.contains(&Some(Filter::Refused)),
            "a filter is refused",
        ),
        (is_unfiltered, "an unknown queue brings everybody"),
        (found.count == Some(Count::Absent), "no count"),
        (ends_empty, "an empty page after the last"),
        (max_is_refused, "page_size=max is refused"),
        (other_size, "the default page size"),
    ]
}

fn rows_not_imitated(found: &Findings) -> [(bool, &'static str); 4] {
    let logins = [
        found.queue_logged_in_with_queue,
        found.queue_logged_in_without_queue,
    ];
    let odd_status = matches!(
        found.agent_status,
        Some(Form::Mixed | Form::Object | Form::Url)
    );
    let odd_dates = matches!(found.dates, Some(DateForm::Offset | DateForm::Unreadable));
    let people = found.people.unwrap_or_default();
    [
        (
            logins.contains(&Some(Presence::Some)),
            "only some rows have queue_logged_in",
        ),
        (
            odd_status || found.app_user == Some(Form::Mixed),
            "the form of agent_status or app_user",
        ),
        (odd_dates, "the form of dates"),
        (
            people.available_not_ready > 0,
            "people who are available and not ready",
        ),
    ]
}
