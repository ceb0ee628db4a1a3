//! How one CallTools account can differ from another.
//!
//! Some accounts write status ids, others names; some are behind a proxy that changes links. Where CallTools' behaviour is not known, the
//! likelier reading is the default, and the others are quirks.

use std::time::Duration;

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
    /// What asking for a queue of another account brings.
    pub foreign_queue: ForeignQueue,
    /// `statuses/` answers 403: the token's user may not read it.
    pub statuses_forbidden: bool,
    /// What `agentstatuses/` without a queue brings.
    pub sweep: SweepQuirk,
    /// The filter `agent_status` is ignored.
    pub status_filter_ignored: bool,
    /// The filter `agent_status_modified_on__gte` works.
    pub change_filter: bool,
    /// Rows move while a list is paged: some show up twice, some not at all.
    pub rows_move: bool,
    /// `count` is off by this.
    pub count_off_by: i64,
    /// Links have this origin, such as `http://10.0.0.7:8000`, as behind a proxy.
    pub links_origin: Option<String>,
    /// How a 429 says when to come back.
    pub retry_after: RetryAfter,
    /// What `ordering=` does.
    pub ordering: Ordering,
    /// Where rows without a date stand in an ordered list.
    pub nulls: NullOrder,
    /// How many agents in a hundred have no `agent_status_modified_on`.
    pub undated_percent: u8,
    /// Lists never end: a page past the end is the first page again, with a `next`.
    pub endless_pages: bool,
    /// The name by which `ordering=` knows `agent_status_modified_on`, where it is another.
    pub ordering_name: Option<String>,
    /// How rows with equal dates are ordered.
    pub ties: Ties,
    /// What `page_size=max` brings.
    pub page_size_max: PageSizeMax,
    /// Agents' rows come from a replica that is this much behind.
    pub lag: Duration,
    /// How many answers in a hundred come from elsewhere and do not lag.
    pub lag_spares: u8,
    /// A change of status shows up to this long after its date.
    pub late_commits: Duration,
    /// The dates of every other agent are ahead by this, and those of the others behind: two servers write them.
    pub clocks_apart: Duration,
    /// A cache on the way repeats an answer for so long, with its `Age`.
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
    /// It sorts by `logged_in_since`, whatever was asked for.
    WrongField,
}

/// Where rows without a date stand in an ordered list.
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

/// What `page_size=max` brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PageSizeMax {
    /// A page of 250 rows.
    #[default]
    Clipped,
    /// The whole list.
    Whole,
    /// A page of the default size, as DRF does with what is no number.
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

/// What asking for a queue of another account brings.
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

/// What `agentstatuses/` without a queue brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SweepQuirk {
    /// Everybody.
    #[default]
    Whole,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// Only four of five: the token's user does not see everybody.
    Partial,
    /// Everybody, as not available: statuses are out of date there.
    Stale,
}

/// How a 429 says when to come back.
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
