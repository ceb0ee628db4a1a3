//! The options of `openseat simulate` that make the simulated account behave badly.

use std::{str::FromStr, time::Duration};

use clap::{ArgAction, Args};
use jiff::SignedDuration;

use crate::simulator::{
    DateForm, ForeignQueue, InjectedFault, LaggingLists, LoggedInField, NullOrder, Ordering,
    PageSizeMax, Quirks, RetryAfter, Simulator, StatusForm, SweepQuirk, Ties, UserForm,
};

/// Options that a report covers, so `--like` excludes them.
pub const TOLD_BY_REPORTS: [&str; 23] = [
    "queues",
    "agents",
    "latency",
    "ordering",
    "ordering_name",
    "page_size_max",
    "nulls",
    "undated",
    "filter",
    "change_filter",
    "sweep",
    "foreign_queue",
    "endless_pages",
    "bare_array",
    "count_off_by",
    "links_origin",
    "statuses_forbidden",
    "clocks_apart",
    "calls_without_status",
    "dates",
    "agent_status",
    "app_user",
    "queue_logged_in",
];

/// Ways in which the simulated account can differ or fail.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// Let all requests fail: KIND or KIND:DURATION, such as 503:5m; repeat it for faults that follow one another
    ///
    /// Kinds: ok, 401, 403, 404, 429 (or 429=90s, with a Retry-After), any status from 500 to 599, html, redirect, half-body,
    /// wrong-shape, empty-body, no-rows, slow (or slow=8s), hang, reset. "ok:2m" leaves two good minutes between faults. A
    /// fault without a DURATION lasts until the simulator stops. Durations are on the simulator's clock, see --speed.
    #[arg(
        long = "fault",
        value_name = "KIND[:DURATION]",
        help_heading = "Faults"
    )]
    pub faults: Vec<FaultSpan>,
    /// Requests an hour that other software spends from the same account
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Faults")]
    pub foreign: u32,
    /// How a 429 says when to come back
    #[arg(long, value_enum, default_value_t, help_heading = "Faults")]
    pub retry_after: RetryAfter,
    /// How far behind the agents' rows are, as from a replica
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration, help_heading = "Lists")]
    pub lag: Duration,
    /// How many answers in a hundred lag
    #[arg(long, value_name = "PERCENT", default_value = "100%", value_parser = percent, help_heading = "Lists")]
    pub lag_share: u8,
    /// Which lists of agents lag
    #[arg(long, value_enum, default_value_t, help_heading = "Lists")]
    pub lag_of: LaggingLists,
    /// Each answer that lags is behind by a random time, up to --lag
    #[arg(long, help_heading = "Lists")]
    pub lag_varies: bool,
    /// Longest time until lists show a change of status
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration, help_heading = "Lists")]
    pub late_commits: Duration,
    /// How long a cache on the way repeats an answer, with its Age
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Lists")]
    pub cache: Option<Duration>,
    /// What ordering= does to a list of agents
    #[arg(long, value_enum, default_value_t, help_heading = "Lists")]
    pub ordering: Ordering,
    /// The name of the date of change in ordering=, if it is not agent_status_modified_on
    #[arg(long, value_name = "FIELD", help_heading = "Lists")]
    pub ordering_name: Option<String>,
    /// How agents with equal dates are ordered
    #[arg(long, value_enum, default_value_t, help_heading = "Lists")]
    pub ties: Ties,
    /// What page_size=max brings
    #[arg(long, value_enum, default_value_t, help_heading = "Lists")]
    pub page_size_max: PageSizeMax,
    /// Where agents without a date stand in an ordered list
    #[arg(long, value_enum, default_value_t, help_heading = "Lists")]
    pub nulls: NullOrder,
    /// How many agents in a hundred have no date of change
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent, help_heading = "Lists")]
    pub undated: u8,
    /// Whether the filter agent_status= works
    #[arg(long, value_name = "on|off", default_value = "on", action = ArgAction::Set, value_parser = on_or_off, help_heading = "Lists")]
    pub filter: bool,
    /// Whether the filter agent_status_modified_on__gte= works
    #[arg(long, value_name = "on|off", default_value = "off", action = ArgAction::Set, value_parser = on_or_off, help_heading = "Lists")]
    pub change_filter: bool,
    /// What a list of all agents brings
    #[arg(long, value_enum, default_value_t, help_heading = "Lists")]
    pub sweep: SweepQuirk,
    /// What asking for a queue that does not exist brings
    #[arg(long, value_enum, default_value_t, help_heading = "Lists")]
    pub foreign_queue: ForeignQueue,
    /// Rows move between pages: some show twice, some are missing
    #[arg(long, help_heading = "Lists")]
    pub rows_move: bool,
    /// Pages start again past the end, and no page is the last
    #[arg(long, help_heading = "Lists")]
    pub endless_pages: bool,
    /// Lists come whole, as a bare array without an envelope
    #[arg(long, help_heading = "Lists")]
    pub bare_array: bool,
    /// How far the count of a list is off
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true,
        help_heading = "Lists"
    )]
    pub count_off_by: i64,
    /// The scheme and host in links to other pages, as behind a proxy
    #[arg(long, value_name = "URL", help_heading = "Lists")]
    pub links_origin: Option<String>,
    /// The statuses may not be read
    #[arg(long, help_heading = "Rows")]
    pub statuses_forbidden: bool,
    /// How far apart the clocks are that write agents' dates: half of them are ahead by it, half behind
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration, help_heading = "Rows")]
    pub clocks_apart: Duration,
    /// How many agents in a hundred have a date of change that stays when their status changes
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent, help_heading = "Rows")]
    pub still_dates: u8,
    /// How many calls in a hundred begin while the agent stays Available
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent, help_heading = "Rows")]
    pub calls_without_status: u8,
    /// How dates are written
    #[arg(long, value_enum, default_value_t, help_heading = "Rows")]
    pub dates: DateForm,
    /// What agent_status holds
    #[arg(long, value_enum, default_value_t, help_heading = "Rows")]
    pub agent_status: StatusForm,
    /// What app_user holds
    #[arg(long, value_enum, default_value_t, help_heading = "Rows")]
    pub app_user: UserForm,
    /// Which rows have queue_logged_in
    #[arg(long, value_enum, default_value_t, help_heading = "Rows")]
    pub queue_logged_in: LoggedInField,
}

impl Flags {
    /// Makes a simulator behave as the flags say.
    ///
    /// # Errors
    /// A fault after one that never ends.
    pub(super) fn apply(&self, simulator: &Simulator) -> anyhow::Result<()> {
        simulator.quirks(|quirks| *quirks = self.quirks());
        self.inject(simulator)
    }

    /// Makes a simulator behave as a report says; flags add what no report can say.
    ///
    /// # Errors
    /// A fault after one that never ends.
    pub(super) fn apply_to(&self, reported: Quirks, simulator: &Simulator) -> anyhow::Result<()> {
        // All fields, so that a new one cannot be forgotten.
        let Quirks {
            rows_move,
            retry_after,
            ties,
            lag,
            lag_of,
            lag_varies,
            lag_spares,
            late_commits,
            still_dates_percent,
            // Only a flag that is given counts, see below.
            cache: _,
            // The report says the others.
            agent_status: _,
            app_user: _,
            dates: _,
            bare_array: _,
            queue_logged_in: _,
            foreign_queue: _,
            statuses_forbidden: _,
            sweep: _,
            status_filter_ignored: _,
            change_filter: _,
            count_off_by: _,
            links_origin: _,
            ordering: _,
            nulls: _,
            undated_percent: _,
            endless_pages: _,
            ordering_name: _,
            page_limit: _,
            page_size_max: _,
            clocks_apart: _,
            dates_ahead: _,
        } = self.quirks();
        let both = Quirks {
            rows_move,
            retry_after,
            ties,
            lag,
            lag_of,
            lag_varies,
            lag_spares,
            late_commits,
            // A report knows only how long a cache keeps answers at least.
            cache: self.cache.unwrap_or(reported.cache),
            still_dates_percent,
            ..reported
        };
        simulator.quirks(|quirks| *quirks = both);
        self.inject(simulator)
    }

    fn inject(&self, simulator: &Simulator) -> anyhow::Result<()> {
        simulator.set_foreign(self.foreign);
        let mut begin = Some(Duration::ZERO);
        for span in &self.faults {
            let Some(start) = begin else {
                anyhow::bail!(
                    "--fault {}: the fault before it never ends; give that one a duration, such as 503:5m",
                    span.text
                );
            };
            begin = span.lasts.map(|lasts| start.saturating_add(lasts));
            if let Some(fault) = &span.fault {
                let during = start..begin.unwrap_or(Duration::MAX);
                simulator.inject_during(during, fault.clone());
            }
        }
        Ok(())
    }

    fn quirks(&self) -> Quirks {
        Quirks {
            agent_status: self.agent_status,
            app_user: self.app_user,
            dates: self.dates,
            bare_array: self.bare_array,
            queue_logged_in: self.queue_logged_in,
            foreign_queue: self.foreign_queue,
            statuses_forbidden: self.statuses_forbidden,
            sweep: self.sweep,
            status_filter_ignored: !self.filter,
            change_filter: self.change_filter,
            rows_move: self.rows_move,
            count_off_by: self.count_off_by,
            links_origin: self.links_origin.clone(),
            retry_after: self.retry_after,
            ordering: self.ordering,
            nulls: self.nulls,
            undated_percent: self.undated,
            still_dates_percent: self.still_dates,
            endless_pages: self.endless_pages,
            lag: self.lag,
            lag_of: self.lag_of,
            lag_varies: self.lag_varies,
            lag_spares: 100 - self.lag_share,
            late_commits: self.late_commits,
            clocks_apart: self.clocks_apart,
            dates_ahead: SignedDuration::ZERO,
            cache: self.cache.unwrap_or_default(),
            ordering_name: self.ordering_name.clone(),
            ties: self.ties,
            page_size_max: self.page_size_max,
            // No flag: the account's roster can be larger instead.
            page_limit: None,
        }
    }
}

/// Parses a speed. Beyond a million, a second is more than a week, and no poll sees two states of one shift. Below a thousandth, an answer takes
/// minutes.
pub fn speed(text: &str) -> Result<f64, &'static str> {
    let speed = text.parse().ok();
    let speed = speed.filter(|speed| (0.001..=1e6).contains(speed));
    speed.ok_or("write a number from 0.001 to 1000000")
}

/// Parses a mean latency. No client waits for longer than some minutes.
pub fn latency(text: &str) -> Result<Duration, &'static str> {
    let latency = humantime::parse_duration(text).ok();
    let latency = latency.filter(|latency| *latency <= Duration::from_secs(3600));
    latency.ok_or("write a duration of at most an hour, such as 300ms")
}

/// Parses a share, as `10%` or `10`.
fn percent(text: &str) -> Result<u8, &'static str> {
    let number = text.strip_suffix('%').unwrap_or(text).parse();
    let number = number.ok().filter(|number| *number <= 100);
    number.ok_or("write a share from 0% to 100%")
}

fn on_or_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off"),
    }
}

/// A fault and how long it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSpan {
    text: String,
    /// `None` for a span without faults.
    fault: Option<InjectedFault>,
    /// `None` for a span without end.
    lasts: Option<Duration>,
}

impl FromStr for FaultSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, lasts) = match text.split_once(':') {
            Some((kind, lasts)) => (kind, Some(duration(lasts)?)),
            None => (text, None),
        };
        Ok(Self {
            text: text.to_owned(),
            fault: fault(kind)?,
            lasts,
        })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text);
    parsed.map_err(|_| format!("{text:?} is not a duration; write one such as 30s, 5m or 1h"))
}

fn fault(kind: &str) -> Result<Option<InjectedFault>, String> {
    let (name, value) = match kind.split_once('=') {
        Some((name, value)) => (name, Some(duration(value)?)),
        None => (kind, None),
    };
    let fault = match (name, value) {
        ("429", wait) => InjectedFault::Throttled(wait),
        ("slow", by) => InjectedFault::Slow(by.unwrap_or(SLOW)),
        (_, Some(_)) => return Err(format!("{name} takes no value; only 429 and slow do")),
        ("ok", _) => return Ok(None),
        ("401", _) => InjectedFault::InvalidToken,
        ("403", _) => InjectedFault::Forbidden,
        ("404", _) => InjectedFault::NotFound,
        ("html", _) => InjectedFault::WebPage(200),
        ("redirect", _) => InjectedFault::Redirect("https://elsewhere.invalid/".to_owned()),
        ("half-body", _) => InjectedFault::BrokenJson,
        ("wrong-shape", _) => InjectedFault::WrongShape,
        ("empty-body", _) => InjectedFault::EmptyBody,
        ("no-rows", _) => InjectedFault::NoRows,
        ("hang", _) => InjectedFault::Hang,
        ("reset", _) => InjectedFault::Dropped,
        (status, _) => match status.parse() {
            Ok(status @ 500..=599) => InjectedFault::WebPage(status),
            _ => return Err(format!("unknown kind {status:?}; write one of {KINDS}")),
        },
    };
    Ok(Some(fault))
}

/// Slower than CallTools usually is, but within the 10 s that openseat waits by default.
const SLOW: Duration = Duration::from_secs(5);

const KINDS: &str = "ok, 401, 403, 404, 429, 500 to 599, html, redirect, half-body, wrong-shape, \
                     empty-body, no-rows, slow, hang, reset";
