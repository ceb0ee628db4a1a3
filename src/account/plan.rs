//! Divides a budget over queues: the arithmetic behind `openseat plan` and the default of `max_age`.

use std::{sync::Arc, time::Duration};

use crate::{
    account::{
        feeds::{FeedStanding, Feeds},
        schedule::{self, Ending, Job, Need, Next, Schedule},
    },
    budget,
    config::{self, ScheduleOptions},
    decision::{MAX_MEMBERS_AGE, Policy, board::QueueState},
    model::hours::OpeningHours,
};

/// The period of a budget.
const HOUR: Duration = Duration::from_secs(3600);

/// A default `max_age` allows two looks in a row to fail or be late.
const ROUNDS: u32 = 3;

/// The shortest default `max_age`. With few queues the rounds are short, but failures of a minute are common.
const MIN_DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);

/// The longest default `max_age` of a queue whose turn takes at most half of it: three times the length of a call. After that, most agents do
/// something else, so unknown is the better answer.
const MAX_DEFAULT_MAX_AGE: Duration = Duration::from_secs(900);

/// A queue whose turn takes longer is not unknown before its next turn: with little demand that takes 1.3 average turns, and it may be late by half a
/// turn. But its data is never used for longer than [`MAX_MEMBERS_AGE`].
const LATE_TURN: u32 = 2;

/// The maximum age of a membership, in turns of an average queue. A queue without questions is polled every 2.6 turns, or every 4.6 while permits
/// are saved up, and one poll may fail.
const MEMBERS_ROUNDS: u32 = 6;

/// The shortest step of time, so that a wait of zero cannot loop forever.
const INSTANT: Duration = Duration::from_millis(1);

/// CallTools usually answers within half a second, and a new snapshot is as old as the poll's first request.
const USUAL_ANSWER: Duration = Duration::from_millis(500);

/// What to expect of one account.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// All requests in any hour.
    pub requests_per_hour: u32,
    /// How many of them are kept back from polling.
    pub reserve: u32,
    /// Requests an hour that polling may send; only this account's part, if it shares its budget.
    pub polls_per_hour: u32,
    /// The time between two requests.
    pub period: Duration,
    /// The queues, in the order of the config.
    pub queues: Vec<PlannedQueue>,
    /// How each feed of statuses stands if the account has no more than one page of agents.
    pub feeds: Vec<FeedStanding>,
    /// The first hour.
    pub first_hour: FirstHour,
}

/// The first hour of an account about which nothing is known, with equal demand for all queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstHour {
    /// Queues that are polled at once.
    pub at_once: usize,
    /// Queues that were polled within the hour.
    pub polled: usize,
    /// The time until every queue was polled; `None` if that takes more than an hour.
    pub all_after: Option<Duration>,
}

impl Plan {
    /// Returns the queues whose answers would sometimes be unknown even if nothing fails.
    pub fn misfits(&self) -> impl Iterator<Item = &PlannedQueue> {
        self.queues.iter().filter(|queue| !queue.fits())
    }

    /// Returns whether no queue's data expires between two polls.
    pub fn fits(&self) -> bool {
        self.misfits().next().is_none()
    }
}

/// What to expect of one queue.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedQueue {
    /// Its name or id in the config.
    pub queue: String,
    /// Requests per poll: one page per 250 agents.
    pub pages: u32,
    /// How old its answers will be.
    pub expected: Expected,
    /// Data older than this is unknown.
    pub max_age: Duration,
    /// Whether `max_age` is the default rather than the operator's.
    pub max_age_is_default: bool,
    /// A membership older than this is unknown.
    pub members_max_age: Duration,
    /// Whether it accepts calls at zero seats if an agent will soon be free.
    pub soon: config::Soon,
    /// Whether the built-in rule counts its seats, so that this is at least measured.
    pub counts_seats: bool,
    /// When it is open. It is not polled outside these hours.
    pub hours: Option<Arc<OpeningHours>>,
}

impl PlannedQueue {
    /// Returns whether its data does not expire between two polls or sweeps.
    pub fn fits(&self) -> bool {
        self.expected.worst_age <= self.max_age && self.keeps_its_members()
    }

    /// Returns whether its membership does not expire between two polls of the queue.
    pub fn keeps_its_members(&self) -> bool {
        self.expected.membership_interval <= self.members_max_age
    }
}

/// How old the answers about a queue will be if nothing fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The time between two readings of its agents' statuses.
    pub interval: Duration,
    /// The time between two polls of the queue, which show its members.
    pub membership_interval: Duration,
    /// The mean age of an answer.
    pub mean_age: Duration,
    /// The greatest age, just before the next reading arrives.
    pub worst_age: Duration,
}

impl Expected {
    fn new(expected: schedule::Expected, pages: u32) -> Self {
        let schedule::Expected { statuses, members } = expected;
        // Each page of a sweep counts at once, but a poll only with its last page.
        let took = if statuses == members {
            USUAL_ANSWER * pages
        } else {
            USUAL_ANSWER
        };
        Self {
            interval: statuses,
            membership_interval: members,
            mean_age: statuses / 2 + took,
            worst_age: statuses + took,
        }
    }
}

/// Plans an account whose queues take `pages` requests per poll, and whose sweeps are trusted if they pay. This is what the [`schedule`] itself
/// expects before the first question.
pub fn plan(account: &config::Account, pages: impl Fn(&config::Queue) -> u32) -> Plan {
    let requests_per_hour = account.requests_per_hour.get();
    let polls_per_hour = account.polls_per_hour().get();
    let period = HOUR / polls_per_hour;
    let needs = account
        .queues
        .iter()
        .map(|queue| (Need::new(&queue.reference, &queue.rule), pages(queue)));
    let needs: Vec<_> = needs.collect();
    let schedule = Schedule::planned(needs.iter().copied(), account.schedule);
    let expected = schedule.expected(period);
    let turns = expected.iter().map(|expected| expected.members).max();
    let members = members_max_age(turns.unwrap_or_default());
    let queues = account.queues.iter().zip(expected);
    Plan {
        requests_per_hour,
        reserve: account.reserve,
        polls_per_hour,
        period,
        queues: queues
            .map(|(queue, expected)| planned(queue, pages(queue), expected, members))
            .collect(),
        feeds: Feeds::planned(
            schedule.status_pages(),
            account
                .queues
                .iter()
                .any(|queue| queue.rule.reads_reasons()),
            schedule.full_list(),
        ),
        first_hour: first_hour(&needs, account.schedule, polls_per_hour),
    }
}

/// Simulates a schedule's first hour, with each queue's pages, and sweeps that are trusted.
pub fn first_hour(
    queues: &[(Need, u32)],
    options: ScheduleOptions,
    polls_per_hour: u32,
) -> FirstHour {
    let period = HOUR / polls_per_hour;
    let lively = ScheduleOptions {
        idle_pace: 1.0,
        ..options
    };
    let needs = queues.iter().map(|(need, _)| *need);
    let mut schedule = Schedule::new(needs, lively, budget::burst(polls_per_hour));
    // The account's list contains the agents of each queue.
    let pages = queues.iter().map(|(_, pages)| *pages).max().unwrap_or(1);
    // Not zero, because the schedule distinguishes long ago from never.
    let begin = HOUR;
    let mut now = begin;
    let mut first_polls = vec![None; queues.len()];
    let (mut at_once, mut polled, mut last) = (0, 0, begin);
    while now < begin + HOUR && polled < queues.len() {
        let job = match schedule.next(now) {
            Next::Start { job, .. } => job,
            Next::Wait(wait) => {
                now = now.saturating_add(wait.max(INSTANT));
                continue;
            }
        };
        schedule.started(job, now, period);
        let mut requests = 1;
        match job {
            Job::Queues => (0..queues.len()).for_each(|queue| schedule.id_known(queue)),
            Job::Statuses => {}
            Job::Poll(queue) => {
                requests = queues[queue].1;
                if first_polls[queue].replace(now).is_none() {
                    (polled, last) = (polled + 1, now);
                    at_once += usize::from(now < begin + period);
                }
            }
            Job::Whole | Job::Delta(_) | Job::Available(..) => {}
            Job::Sweep(page) => {
                schedule.swept(page, (page < pages).then_some(page + 1));
                schedule.trust();
            }
        }
        schedule.ended(job, Ending::Well { requests }, now, 0.0);
    }
    FirstHour {
        at_once,
        polled,
        all_after: (polled == queues.len()).then(|| last - begin),
    }
}

fn planned(
    queue: &config::Queue,
    pages: u32,
    expected: schedule::Expected,
    members: Duration,
) -> PlannedQueue {
    let planned_max_age = default_max_age(expected.statuses, Duration::ZERO);
    let state = QueueState {
        planned_max_age,
        planned_members_max_age: members,
        ..QueueState::default()
    };
    PlannedQueue {
        members_max_age: policy(queue).members_max_age(&state),
        queue: queue.spelling.to_string(),
        pages,
        expected: Expected::new(expected, pages),
        max_age: queue.max_age.unwrap_or(planned_max_age),
        max_age_is_default: queue.max_age.is_none(),
        soon: queue.soon,
        counts_seats: matches!(queue.rule, config::Rule::Seats(_)),
        hours: queue.hours.clone(),
    }
}

/// Returns each queue's policy, in the order of the config.
pub fn policies(account: &config::Account) -> Vec<Policy> {
    account.queues.iter().map(policy).collect()
}

fn policy(queue: &config::Queue) -> Policy {
    Policy {
        threshold: queue.threshold,
        asks_threshold: false,
        max_age: queue.max_age,
        on_unknown: queue.on_unknown,
        hours: queue.hours.clone(),
    }
}

/// Returns the maximum age of a membership if the queue's turns are this far apart. [`decide`](crate::decision::decide) has the general limits.
pub fn members_max_age(interval: Duration) -> Duration {
    (interval * MEMBERS_ROUNDS).min(MAX_MEMBERS_AGE)
}

/// Returns the `max_age` of a queue whose config sets none, if its statuses are read once per `interval`, and a reading may leave statuses `behind`
/// that are older by this.
pub fn default_max_age(interval: Duration, behind: Duration) -> Duration {
    let late = (interval * LATE_TURN).min(MAX_MEMBERS_AGE);
    let longest = MAX_DEFAULT_MAX_AGE.max(late);
    (interval * ROUNDS + behind).clamp(MIN_DEFAULT_MAX_AGE, longest)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    fn account(requests: u32, reserve: u32, keys: &str, queues: &[&str]) -> config::Account {
        let mut text = format!(
            "[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_env = \"T\"\n\
             requests_per_hour = {requests}\nreserve = {reserve}\n{keys}\n"
        );
        for (id, queue) in queues.iter().enumerate() {
            text += &format!("[[account.queue]]\nqueue = {}\n{queue}\n", id + 1);
        }
        let config = Config::parse(&text, Path::new("openseat.toml"), &|_| None);
        config.expect("a valid config").accounts.remove(0)
    }

    #[test]
    fn without_sweeps_queues_are_polled_in_turn() {
        let plan = plan(&account(1000, 100, "sweep = false", &["", "", ""]), |_| 1);
        assert_eq!((plan.polls_per_hour, plan.period), (900, secs(4)));
        for queue in &plan.queues {
            let expected = Expected {
                interval: secs(12),
                membership_interval: secs(12),
                mean_age: Duration::from_millis(6_500),
                worst_age: Duration::from_millis(12_500),
            };
            assert_eq!(queue.expected, expected);
            assert!(queue.fits());
        }
    }

    #[test]
    fn sweeps_renew_statuses_at_a_cost_that_does_not_grow_with_the_queues() {
        for queues in [10, 100] {
            let plan = plan(&account(1000, 100, "", &vec![""; queues]), |_| 1);
            let expected = plan.queues[0].expected;
            assert_eq!(
                expected.interval.as_millis(),
                5_333,
                "three of four slots, evenly spread"
            );
            assert_eq!(
                expected.membership_interval,
                secs(16 * queues as u64),
                "the fourth slot"
            );
        }
    }

    #[test]
    fn a_single_queue_gets_no_sweeps() {
        let expected = plan(&account(1000, 100, "", &[""]), |_| 1).queues[0].expected;
        assert_eq!(
            (expected.interval, expected.membership_interval),
            (secs(4), secs(4))
        );
    }

    #[test]
    fn a_thousand_queues_do_not_fit_and_the_first_hour_says_why() {
        let plan = plan(&account(1000, 50, "", &vec![""; 1_000]), |_| 1);
        assert!(!plan.fits());
        let first = &plan.queues[0];
        assert!(first.expected.worst_age <= first.max_age);
        assert!(!first.keeps_its_members());
        assert_eq!(plan.first_hour.at_once, 38);
        assert_eq!(plan.first_hour.all_after, None);
        let polled = plan.first_hour.polled;
        assert!((450..=520).contains(&polled), "{polled} after an hour");
    }

    #[test]
    fn a_small_account_is_polled_completely_at_once() {
        for (requests, queues) in [(1000, 1), (1000, 38), (100, 8), (20_000, 700)] {
            let first = plan(&account(requests, 0, "", &vec![""; queues]), |_| 1).first_hour;
            assert_eq!(first.at_once, queues, "{requests}");
            assert_eq!(first.all_after, Some(Duration::ZERO));
        }
    }

    #[test]
    fn the_default_max_age_is_three_rounds_between_a_minute_and_a_quarter_of_an_hour_or_a_late_turn()
     {
        for (queues, max_age) in [
            (1, 60),
            (5, 60),
            (6, 72),
            (30, 360),
            (100, 900),
            (110, 900),
            (120, 960),
            (200, 1600),
        ] {
            let account = account(1000, 100, "sweep = false", &vec![""; queues]);
            let planned = &plan(&account, |_| 1).queues[0];
            assert!(planned.max_age_is_default);
            assert_eq!(planned.max_age, secs(max_age));
        }
    }

    #[test]
    fn a_reading_that_leaves_statuses_behind_adds_to_the_default_max_age() {
        let max_age = |interval, behind| default_max_age(secs(interval), secs(behind));
        assert_eq!(max_age(40, 0), secs(120));
        assert_eq!(max_age(40, 40), secs(160));
        assert_eq!(max_age(10, 10), MIN_DEFAULT_MAX_AGE);
        assert_eq!(max_age(300, 300), MAX_DEFAULT_MAX_AGE);
    }

    #[test]
    fn a_membership_may_be_as_old_as_six_turns_but_not_two_hours() {
        for (minutes, most) in [(1, 6), (19, 114), (20, 120), (21, 120), (600, 120)] {
            let interval = secs(60 * minutes);
            assert_eq!(members_max_age(interval), secs(60 * most), "{minutes} min");
        }
    }

    #[test]
    fn a_max_age_that_an_answer_outlives_does_not_fit() {
        for (max_age, fits) in [("4s", false), ("4500ms", true), ("5s", true)] {
            let account = account(1000, 100, "", &[&format!("max_age = \"{max_age}\"")]);
            assert_eq!(plan(&account, |_| 1).fits(), fits, "{max_age}");
            assert!(!plan(&account, |_| 2).fits(), "{max_age}");
        }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    proptest! {
        #[test]
        fn a_plan_spends_the_hour_and_no_more(
            requests in 1_u32..5_000, sweep in any::<bool>(), pages in prop::collection::vec(1_u32..5, 1..60),
        ) {
            let account = account(requests, requests / 20, &format!("sweep = {sweep}"), &vec![""; pages.len()]);
            let of = |queue: &config::Queue| pages[queue.spelling.parse::<usize>().expect("an id") - 1];
            let plan = plan(&account, of);
            let polls: f64 = plan.queues.iter()
                .map(|queue| f64::from(queue.pages) * 3600.0 / queue.expected.membership_interval.as_secs_f64())
                .sum();
            let first = plan.queues[0].expected;
            let sweeps = if first.interval == first.membership_interval { 0.0 } else { f64::from(*pages.iter().max().unwrap()) * 3600.0 / first.interval.as_secs_f64() };
            prop_assert!((polls + sweeps - f64::from(plan.polls_per_hour)).abs() < 0.01, "{polls} + {sweeps}");
            // Defaults fit the plan, up to the age at which lists of members are useless.
            let fits = |queue: &PlannedQueue| {
                queue.expected.worst_age <= MAX_MEMBERS_AGE && queue.expected.membership_interval <= MAX_MEMBERS_AGE
            };
            prop_assert_eq!(plan.fits(), plan.queues.iter().all(fits));
        }
    }
}
