//! `openseat plan`: how the budget divides over the queues. It uses no network, token or state.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use serde::Serialize;

use super::{
    EXIT_FAILURE, exit_after, load_or_explain, print,
    terminal::{BAD, Column, FAINT, GOOD, STRONG, counted, painted, show, spoken, table},
};
use crate::{
    account::{
        feeds::{Feed, FeedStanding, Standing},
        plan::{Plan, PlannedQueue, plan},
    },
    calltools::PAGE_SIZE,
    cli::args,
    config,
    model::hours::OpeningHours,
    server::FeedJson,
};

/// Assumed for every queue: the number of its agents is known only after a poll.
const PAGES: u32 = 1;

/// About the length of a call. In an older answer most agents have moved on.
const STALE: Duration = Duration::from_secs(300);

/// How many queues a sentence lists by name: as many as people read in one line.
const NAMED: usize = 5;

/// Prints the plan; exits with 0 if everything fits.
pub fn run(options: &args::Plan) -> ExitCode {
    let config = match load_or_explain(&options.config) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let outlooks: Vec<_> = config.accounts.iter().map(Outlook::new).collect();
    let printed = if options.json {
        print(&json(&outlooks))
    } else {
        let texts: Vec<_> = outlooks.iter().map(Outlook::text).collect();
        show(&texts.join("\n"))
    };
    let code = match outlooks.iter().all(|outlook| outlook.plan.fits()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_FAILURE),
    };
    exit_after(printed, code)
}

/// An account's plan, and the plan if its queues had more agents.
struct Outlook<'a> {
    account: &'a str,
    plan: Plan,
    longer: Plan,
}

impl<'a> Outlook<'a> {
    fn new(account: &'a config::Account) -> Self {
        Self {
            account: &account.name,
            plan: plan(account, |_| PAGES),
            longer: plan(account, |_| PAGES + 1),
        }
    }

    fn text(&self) -> String {
        let plan = &self.plan;
        let mut text = format!(
            "{}: {} requests an hour, {} of them kept back; polling has {}, one every {}\n\n",
            painted(STRONG, self.account),
            plan.requests_per_hour,
            plan.reserve,
            plan.polls_per_hour,
            spoken(plan.period),
        );
        text += &table(&COLUMNS, plan.queues.iter().map(row));
        text.push('\n');
        for sentence in self.verdict() {
            let _ = writeln!(text, "{sentence}");
        }
        for sentence in self.assumptions() {
            let _ = writeln!(text, "{}", painted(FAINT, sentence));
        }
        text
    }

    /// Says whether everything fits, and what to do otherwise.
    fn verdict(&self) -> Vec<String> {
        let misfits = misfits(&self.plan);
        let mut lines: Vec<_> = misfits.iter().map(|line| painted(BAD, line)).collect();
        if lines.is_empty() {
            lines.push(painted(GOOD, "Everything fits."));
            lines.extend(staleness(&self.plan));
        }
        lines.extend(first_hour(&self.plan));
        lines.extend(soon(&self.plan));
        lines.extend(opening_hours(&self.plan));
        lines
    }

    fn assumptions(&self) -> [String; 3] {
        let slowest = slowest(&self.longer);
        let misfits = self.longer.misfits().map(|queue| queue.queue.clone());
        let fits = match first_of(&misfits.collect::<Vec<_>>()) {
            None => "everything would still fit".to_owned(),
            Some(misfits) => format!("{misfits} would not fit"),
        };
        [
            format!(
                "This assumes one page ({PAGE_SIZE} agents) for each queue{}.",
                if sweeps(&self.plan) {
                    ", and that sweeps of the whole account prove correct; statuses come from them"
                } else {
                    ""
                }
            ),
            format!(
                "With two pages each, openseat would poll every {}, and answers would be {} old on average and {} at worst: {fits}.",
                spoken(slowest.expected.interval),
                spoken(slowest.expected.mean_age),
                spoken(slowest.expected.worst_age),
            ),
            feeds(&self.plan),
        ]
    }
}

/// Says where statuses come from, and what would replace it in a larger account.
fn feeds(plan: &Plan) -> String {
    let in_use = |feed: &&FeedStanding| feed.standing == Standing::InUse;
    let Some(feed) = plan.feeds.iter().find(in_use) else {
        return String::new();
    };
    if feed.feed == Feed::Queues {
        return format!("Statuses come from {}: {}.", feed.feed.noun(), feed.why);
    }
    let mut text = format!(
        "Statuses come from {}: one request for {PAGE_SIZE} agents. In a larger account, a list that takes fewer requests replaces them once it has proved correct: {}",
        feed.feed.noun(),
        Feed::Delta.noun(),
    );
    let available = plan.feeds.iter().find(|one| one.feed == Feed::Available);
    match available.filter(|one| one.standing == Standing::Impossible) {
        None => text += &format!(", or {}.", Feed::Available.noun()),
        Some(one) => text += &format!("; {} do not: {}.", one.feed.noun(), one.why),
    }
    text
}

/// Returns whether statuses come from a feed instead of the queues' own polls.
fn sweeps(plan: &Plan) -> bool {
    let mut queues = plan.queues.iter();
    queues.any(|queue| queue.expected.interval < queue.expected.membership_interval)
}

const COLUMNS: [Column; 8] = [
    Column::names("queue"),
    Column::numbers("pages"),
    Column::numbers("statuses every"),
    Column::numbers("members every"),
    Column::numbers("mean age"),
    Column::numbers("worst age"),
    Column::labels("max_age"),
    Column::labels("fits"),
];

fn row(queue: &PlannedQueue) -> Vec<String> {
    let default = if queue.max_age_is_default {
        " (default)"
    } else {
        ""
    };
    vec![
        queue.queue.clone(),
        queue.pages.to_string(),
        spoken(queue.expected.interval),
        spoken(queue.expected.membership_interval),
        spoken(queue.expected.mean_age),
        spoken(queue.expected.worst_age),
        format!("{}{default}", spoken(queue.max_age)),
        if queue.fits() { "yes" } else { "NO" }.to_owned(),
    ]
}

/// Says what is wrong, by queue; if there are many, only for the first.
fn misfits(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<_> = plan.misfits().take(NAMED).map(misfit).collect();
    let more = plan.misfits().count().saturating_sub(NAMED) as u64;
    if more > 0 {
        lines.push(format!(
            "{} more do not fit either.",
            counted(more, "queue")
        ));
    }
    lines
}

/// Lists the first of these queues, and says how many more there are; `None` without any.
fn first_of(queues: &[String]) -> Option<String> {
    let more = match queues.len().saturating_sub(NAMED) as u64 {
        0 => String::new(),
        more => format!(" and {} more", counted(more, "queue")),
    };
    let first = queues.get(..NAMED).unwrap_or(queues);
    (!queues.is_empty()).then(|| first.join(", ") + &more)
}

/// Describes a start that cannot poll every queue at once.
fn first_hour(plan: &Plan) -> Option<String> {
    let (first, queues) = (plan.first_hour, plan.queues.len());
    if first.at_once >= queues {
        return None;
    }
    let begin = format!(
        "After a first start, {} are known at once; the others follow one by one, the most requested first",
        counted(first.at_once as u64, "queue"),
    );
    Some(match first.all_after {
        Some(after) => format!("{begin}: all {queues} after {}.", spoken(after)),
        None => format!(
            "{begin}: {} of {queues} after an hour. Until then the others are unknown (never_polled).",
            first.polled,
        ),
    })
}

/// Lists the queues that accept at zero seats if an agent will be free, and those where this is only measured. It costs no request, so the plan is the
/// same without.
fn soon(plan: &Plan) -> impl Iterator<Item = String> {
    let on = plan.queues.iter().filter(|queue| queue.soon.is_on);
    let on = on.map(|queue| {
        let terms = queue.soon.terms;
        format!(
            "{} (lead {}, patience {}, cost {})",
            queue.queue,
            spoken(terms.lead()),
            spoken(terms.patience()),
            terms.cost(),
        )
    });
    let on = first_of(&on.collect::<Vec<_>>()).map(|on| {
        format!(
            "soon is on for {on}; `openseat status` shows whether it acts. It costs no requests."
        )
    });
    let off = plan
        .queues
        .iter()
        .filter(|queue| queue.counts_seats && !queue.soon.is_on);
    let off = off.map(|queue| queue.queue.clone());
    let off = first_of(&off.collect::<Vec<_>>()).map(|off| {
        format!(
            "soon is off for {off}; it is measured all the same, and `openseat status` shows what it would gain."
        )
    });
    on.into_iter().chain(off)
}

/// The queues that rest outside of their opening hours. The table is for the time when all are open, which takes the most requests.
fn opening_hours(plan: &Plan) -> Option<String> {
    let queues = plan.queues.iter().filter_map(|queue| {
        let hours = queue.hours.as_deref()?;
        let entries: Vec<_> = hours.entries().collect();
        let (name, zone) = (&queue.queue, hours.zone());
        Some(format!("{name} ({} in {zone})", entries.join(", ")))
    });
    let named = first_of(&queues.collect::<Vec<_>>())?;
    Some(format!(
        "Outside of opening hours a queue rejects and is not polled: {named}. The table is for the time when all queues are open."
    ))
}

/// Says what is wrong with a queue, and what to do.
fn misfit(queue: &PlannedQueue) -> String {
    if !queue.keeps_its_members() {
        return format!(
            "{} does not fit: its members are read every {} but count for only {}, so it would sometimes be unknown; \
             poll fewer queues, or raise requests_per_hour if CallTools allows the account more.",
            queue.queue,
            spoken(queue.expected.membership_interval),
            spoken(queue.members_max_age),
        );
    }
    let enough = queue.expected.worst_age.as_secs_f64().ceil();
    format!(
        "{} does not fit: its answers get {} old and max_age is {}, so it would be unknown at times; \
         set max_age to \"{enough}s\" or more, poll fewer queues, or raise requests_per_hour if CallTools allows the account more.",
        queue.queue,
        spoken(queue.expected.worst_age),
        spoken(queue.max_age),
    )
}

/// Warns about a plan that fits but is of little use.
fn staleness(plan: &Plan) -> Option<String> {
    let slowest = slowest(plan);
    (slowest.expected.worst_age > STALE).then(|| {
        format!(
            "But answers get {} old, and most agents do something else by then: with {} for {} an hour, poll fewer queues, \
             or ask CallTools for a higher limit.",
            spoken(slowest.expected.worst_age),
            counted(plan.polls_per_hour.into(), "request"),
            counted(plan.queues.len() as u64, "queue"),
        )
    })
}

fn slowest(plan: &Plan) -> &PlannedQueue {
    let slowest = plan
        .queues
        .iter()
        .max_by_key(|queue| queue.expected.worst_age);
    slowest.expect("every account has a queue")
}

#[derive(Serialize)]
struct Document<'a> {
    fits: bool,
    accounts: Vec<AccountView<'a>>,
}

#[derive(Serialize)]
struct AccountView<'a> {
    account: &'a str,
    requests_per_hour: u32,
    reserve: u32,
    polls_per_hour: u32,
    period_ms: u64,
    fits: bool,
    /// The source of statuses if the account has one page of agents, and why others are not used.
    feeds: Vec<FeedJson>,
    queues: Vec<QueueView<'a>>,
    /// The start without stored knowledge.
    first_hour: FirstHourView,
    /// The same queues if each took two requests per poll.
    two_pages: LongerView<'a>,
    /// What to do, if anything.
    advice: Vec<String>,
}

#[derive(Serialize)]
struct FirstHourView {
    queues_at_once: usize,
    queues_polled: usize,
    /// `null` if it takes more than an hour.
    all_polled_after_ms: Option<u64>,
}

#[derive(Serialize)]
struct LongerView<'a> {
    fits: bool,
    queues: Vec<QueueView<'a>>,
}

#[derive(Serialize)]
struct QueueView<'a> {
    queue: &'a str,
    pages: u32,
    interval_ms: u64,
    membership_interval_ms: u64,
    mean_age_ms: u64,
    worst_age_ms: u64,
    max_age_ms: u64,
    max_age_is_default: bool,
    fits: bool,
    /// Whether it accepts at zero seats if an agent will be free.
    soon: bool,
    /// Its opening hours as the config writes them, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<&'a str>,
}

impl<'a> AccountView<'a> {
    fn new(outlook: &'a Outlook<'_>) -> Self {
        let plan = &outlook.plan;
        Self {
            account: outlook.account,
            requests_per_hour: plan.requests_per_hour,
            reserve: plan.reserve,
            polls_per_hour: plan.polls_per_hour,
            period_ms: ms(plan.period),
            fits: plan.fits(),
            feeds: plan.feeds.iter().map(FeedJson::from).collect(),
            queues: plan.queues.iter().map(QueueView::new).collect(),
            first_hour: FirstHourView {
                queues_at_once: plan.first_hour.at_once,
                queues_polled: plan.first_hour.polled,
                all_polled_after_ms: plan.first_hour.all_after.map(ms),
            },
            two_pages: LongerView {
                fits: outlook.longer.fits(),
                queues: outlook.longer.queues.iter().map(QueueView::new).collect(),
            },
            advice: misfits(plan)
                .into_iter()
                .chain(staleness(plan))
                .chain(first_hour(plan))
                .collect(),
        }
    }
}

impl<'a> QueueView<'a> {
    fn new(queue: &'a PlannedQueue) -> Self {
        let hours = queue.hours.as_deref();
        Self {
            queue: &queue.queue,
            pages: queue.pages,
            interval_ms: ms(queue.expected.interval),
            membership_interval_ms: ms(queue.expected.membership_interval),
            mean_age_ms: ms(queue.expected.mean_age),
            worst_age_ms: ms(queue.expected.worst_age),
            max_age_ms: ms(queue.max_age),
            max_age_is_default: queue.max_age_is_default,
            fits: queue.fits(),
            soon: queue.soon.is_on,
            open: hours.map(|hours| hours.entries().collect()),
            time_zone: hours.map(OpeningHours::zone),
        }
    }
}

fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

fn json(outlooks: &[Outlook<'_>]) -> String {
    super::to_json(&Document {
        fits: outlooks.iter().all(|outlook| outlook.plan.fits()),
        accounts: outlooks.iter().map(AccountView::new).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_source_of_statuses_is_named_with_why_a_better_one_is_not_used() {
        let larger = "Statuses come from sweeps of the account: one request for 250 agents. In a larger account, a list that takes \
                      fewer requests replaces them once it has proved correct: the list of changes";
        for (queues, keys, expected) in [
            (
                1,
                "",
                "Statuses come from polls of the queues: polling the queues one by one is as fast."
                    .to_owned(),
            ),
            (
                9,
                "sweep = false",
                "Statuses come from polls of the queues: the config has sweep = false.".to_owned(),
            ),
            (
                9,
                "",
                format!("{larger}, or the lists of available agents."),
            ),
        ] {
            let some: String = (0..queues)
                .map(|id| format!("{{ queue = {} }}, ", id + 1))
                .collect();
            let config = format!(
                "[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_env = \"TOKEN\"\n{keys}\nqueue = [{some}{{ queue = 20 }}]\n"
            );
            let config = Config::parse(&config, "openseat.toml".as_ref(), &|_| None);
            let config = config.expect("a valid config");
            let plan = plan(&config.accounts[0], |_| PAGES);
            assert_eq!(feeds(&plan), expected);
        }
    }

    #[test]
    fn of_many_queues_that_would_not_fit_the_first_are_named() {
        let queues: String = (1..=30)
            .map(|id| format!("{{ queue = {id}, max_age = \"2m\" }}, "))
            .collect();
        let config = format!(
            "[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_env = \"TOKEN\"\nsweep = false\nqueue = [{queues}]\n"
        );
        let config = Config::parse(&config, "openseat.toml".as_ref(), &|_| None);
        let config = config.expect("a valid config");
        let shown = Outlook::new(&config.accounts[0]).text();
        let expected = ": 1, 2, 3, 4, 5 and 25 queues more would not fit.";
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn queues_that_accept_at_zero_seats_are_named_with_their_terms() {
        let text = |queues: &str| {
            let config = format!(
                "[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_env = \"TOKEN\"\nqueue = [{queues}]\n"
            );
            let config = Config::parse(&config, "openseat.toml".as_ref(), &|_| None);
            let config = config.expect("a valid config");
            Outlook::new(&config.accounts[0]).text()
        };
        let shown = text(
            "{ queue = 1, soon = true }, { queue = 2 }, { queue = 3, soon = true, lead = \"12s\", patience = \"4s\", cost = 1.5 }",
        );
        let on = "\nsoon is on for 1 (lead 5 s, patience 5 s, cost 2), 3 (lead 12 s, patience 4 s, cost 1.5); \
                  `openseat status` shows whether it acts. It costs no requests.\n";
        assert!(shown.contains(on), "{shown}");
        let off = |queues: &str| {
            format!(
                "\nsoon is off for {queues}; it is measured all the same, and `openseat status` shows what it would gain.\n"
            )
        };
        assert!(shown.contains(&off("2")), "{shown}");
        // The criteria of the last one count no agents.
        let shown = text(
            "{ queue = 1 }, { queue = 2, lead = \"12s\" }, { queue = 3, accept = { field = \"$.count\", measure = \"value\", condition = \"greater_than\", value = 0 } }",
        );
        assert!(!shown.contains("soon is on"), "{shown}");
        assert!(shown.contains(&off("1, 2")), "{shown}");
    }
}
