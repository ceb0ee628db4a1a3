//! How one CallTools account can differ from another.
//!
//! Some accounts write status ids, others names; some are behind a proxy that changes links. Where CallTools' behaviour is not known, the
//! likelier reading is the default, and the others are quirks.

use std::{num::NonZeroUsize, time::Duration};

use jiff::SignedDuration;

/// The quirks of one account, all off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// What `agent_status` contains.
    pub agent_status: StatusForm,
    /// What `app_user` contains.
    pub app_user: UserForm,
    /// How dates are written.
    pub dates: DateForm,
    /// Lists are bare arrays, without pages and envelope.
    pub bare_array: bool,
    /// Which rows have `queue_logged_in`.
    pub queue_logged_in: LoggedInField,
    /// The answer to a request for a queue of another account.
    pub foreign_queue: ForeignQueue,
    /// `statuses/` answers 403: the token's user may not read it.
    pub statuses_forbidden: bool,
    /// The answer to `agentstatuses/` without a queue.
    pub sweep: SweepQuirk,
    /// The filter `agent_status` is ignored.
    pub status_filter_ignored: bool,
    /// The filter `agent_status_modified_on__gte` works.
    pub change_filter: bool,
    /// Rows move while a list is paged: some show up twice, some not at all.
    pub rows_move: bool,
    /// How far `count` is off.
    pub count_off_by: i64,
    /// The origin of links, such as `http://10.0.0.7:8000`, as behind a proxy.
    pub links_origin: Option<String>,
    /// How a 429 states the wait.
    pub retry_after: RetryAfter,
    /// What `ordering=` does.
    pub ordering: Ordering,
    /// Where rows without a date come in an ordered list.
    pub nulls: NullOrder,
    /// How many agents in a hundred have no `agent_status_modified_on`.
    pub undated_percent: u8,
    /// How many agents in a hundred have an `agent_status_modified_on` that does not change with their status.
    pub still_dates_percent: u8,
    /// Lists never end: a page past the end is the first page again, with a `next`.
    pub endless_pages: bool,
    /// The name of `agent_status_modified_on` in `ordering=`, if it differs.
    pub ordering_name: Option<String>,
    /// How rows with equal dates are ordered.
    pub ties: Ties,
    /// The most rows on a page, if not 250.
    pub page_limit: Option<NonZeroUsize>,
    /// What `page_size=max` does.
    pub page_size_max: PageSizeMax,
    /// How far the replica that serves agents' rows lags.
    pub lag: Duration,
    /// Which lists it serves.
    pub lag_of: LaggingLists,
    /// Each answer that lags is behind by a random time, up to `lag`.
    pub lag_varies: bool,
    /// The percentage of answers that come from elsewhere and do not lag.
    pub lag_spares: u8,
    /// How long a change of status can take to show up, counted from its date.
    pub late_commits: Duration,
    /// How far the dates of every other agent are ahead, and those of the others behind: two servers write them.
    pub clocks_apart: Duration,
    /// How far all dates are ahead, as if they were in the local time of a zone: east of UTC, or west if negative.
    pub dates_ahead: SignedDuration,
    /// How long a cache on the way repeats an answer, with its `Age`.
    pub cache: Duration,
}

/// What `agent_status` contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StatusForm {
    /// The status' number.
    #[default]
    Id,
    /// Its name.
    Name,
    /// Null; only `status` has the name.
    Null,
}

/// What `app_user` contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum UserForm {
    /// A UUID as a string.
    #[default]
    Uuid,
    /// A number.
    Number,
    /// A URL that ends in the UUID.
    Url,
    /// An object with the UUID as its `id`.
    Object,
}

/// The lists of agents that a replica serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LaggingLists {
    /// All.
    #[default]
    All,
    /// Those in the order of an `ordering=`.
    Ordered,
    /// Those of all queues, but not the polls of single ones.
    OfAllQueues,
}

/// How dates are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DateForm {
    /// `2026-11-22T10:00:00.123456Z`.
    #[default]
    Rfc3339,
    /// `2026-11-22T10:00:00Z`, in whole seconds.
    Seconds,
    /// `2026-11-22 10:00:00`, in UTC.
    Spaced,
}

/// What `ordering=` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Ordering {
    /// It sorts.
    #[default]
    On,
    /// It is ignored.
    Off,
    /// It sorts, but a leading `-` is ignored.
    AscendingOnly,
    /// It sorts by `logged_in_since`, regardless of what was requested.
    WrongField,
    /// It sorts by the agents' numbers, regardless of what was requested. No option asks for this: reports of accounts whose order is unknown do.
    #[value(skip)]
    ByNumber,
}

/// Where rows without a date come in an ordered list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum NullOrder {
    /// First in descending order, as PostgreSQL has it.
    #[default]
    Largest,
    /// Last in descending order, as MySQL and SQLite have it.
    Smallest,
}

/// How rows with equal dates are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Ties {
    /// As in the roster.
    #[default]
    Stable,
    /// Differently in each answer, so rows move across the edges of pages.
    Random,
}

/// What `page_size=max` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PageSizeMax {
    /// A page of 250 rows.
    #[default]
    Clipped,
    /// The whole list.
    Whole,
    /// A page of the default size, as DRF does for anything that is not a number.
    Ignored,
}

/// Which rows have `queue_logged_in`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LoggedInField {
    /// Those of a list that was asked for with `queue=`.
    #[default]
    WithQueue,
    /// All; without `queue=` it is about the agent's first queue.
    Always,
    /// None.
    Never,
}

/// The answer to a request for a queue of another account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ForeignQueue {
    /// 400, no valid choice.
    #[default]
    Refused,
    /// 200 with no rows.
    Empty,
    /// 404.
    NotFound,
}

/// The answer to `agentstatuses/` without a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SweepQuirk {
    /// Everybody.
    #[default]
    Whole,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// Only four out of five: the token's user does not see everybody.
    Partial,
    /// Everybody, as not available: statuses are out of date in this list.
    Stale,
}

/// How a 429 states the wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum RetryAfter {
    /// `Retry-After: 3600`.
    #[default]
    Seconds,
    /// `Retry-After: Sun, 22 Nov 2026 10:00:00 GMT`.
    HttpDate,
    /// No header.
    Absent,
}
