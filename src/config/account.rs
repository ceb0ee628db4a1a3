//! `[[account]]`: one CallTools account, its budget and its queues.

use std::{collections::HashMap, num::NonZeroU32, ops::RangeInclusive, time::Duration};

use super::ScheduleOptions;
use super::{
    Account, Queue, keys,
    place::name_table,
    queue,
    section::Section,
    source::{Checked, all},
    upstream::upstream,
    value::{Value, refuse_repeats, shown},
};
use crate::budget::{SharedBudget, origin};

/// CallTools' hourly limit for an account.
const CALLTOOLS_LIMIT: u32 = 1000;

/// The upper end is six requests a second, twenty times CallTools' limit: what openseat is built and tested for. It reads the whole window once a
/// second, to spread what is left.
const REQUESTS_PER_HOUR: RangeInclusive<u32> = 1..=20_000;

/// Enough for a refresh or a `check` about every minute. For budgets below CallTools' limit it is a twentieth.
fn default_reserve(requests_per_hour: u32) -> u32 {
    (requests_per_hour / 20).min(50)
}

/// Reads every `[[account]]`.
pub(super) fn accounts(root: &Section<'_>) -> Checked<Vec<Account>> {
    let sections = root.tables("account", &keys::ACCOUNT, |table, number| {
        name_table("account", table, "name", number)
    })?;
    if sections.is_empty() {
        return Err(root.wrong(
            "there is no [[account]]; write one with a name, a silo and an [[account.queue]] below it",
        ));
    }
    let names = sections.iter().filter_map(|section| section.value("name"));
    let names = names.filter_map(|name| Some((name.as_text()?, name)));
    let unique = refuse_repeats(names, |line| {
        format!("is the one of line {line} again; every account needs a name of its own")
    });
    let sharers = sharers(&sections);
    let accounts = sections.iter().map(|section| account(section, &sharers));
    let accounts: Vec<_> = accounts.collect();
    let apart = refuse_same_upstream(&sections, &accounts);
    let alike = refuse_different_limits(&sections, &accounts);
    let accounts = all(accounts)?;
    unique.and(apart).and(alike).map(|()| accounts)
}

/// Counts the accounts that name each budget.
fn sharers<'s>(sections: &'s [Section<'_>]) -> HashMap<&'s str, u32> {
    let mut sharers = HashMap::new();
    let budgets = sections
        .iter()
        .filter_map(|section| section.value("budget"));
    for name in budgets.filter_map(|value| value.as_text()) {
        *sharers.entry(name).or_default() += 1;
    }
    sharers
}

/// One budget has one limit: with two of them nobody could say when it is spent.
fn refuse_different_limits(sections: &[Section<'_>], accounts: &[Checked<Account>]) -> Checked<()> {
    let mut first = HashMap::new();
    let mut checked = Ok(());
    for (section, account) in sections.iter().zip(accounts) {
        let (Ok(account), Some(value)) = (account, section.value("budget")) else {
            continue;
        };
        let Some(budget) = &account.budget else {
            continue;
        };
        let limits = (account.requests_per_hour, account.reserve);
        let (line, (requests, reserve)) =
            *first.entry(&*budget.name).or_insert((value.line(), limits));
        if (requests, reserve) != limits {
            checked = Err(value.wrong(format_args!(
                "is the budget of line {line} too, with requests_per_hour = {requests} and reserve = {reserve} there, {} and {} here; write the same for both",
                limits.0, limits.1
            )));
        }
    }
    checked
}

/// Two budgets for one account would spend its hour twice.
fn refuse_same_upstream(sections: &[Section<'_>], accounts: &[Checked<Account>]) -> Checked<()> {
    let accounts = sections.iter().zip(accounts);
    let keys = accounts.filter_map(|(section, account)| {
        let account = account.as_ref().ok()?;
        let key = (origin(&account.upstream.base_url), &account.upstream.token);
        Some((key, section.value("name")?))
    });
    refuse_repeats(keys, |line| {
        format!(
            "stands for the same CallTools account as line {line}: the same address and the same token, whose requests would be spent twice; move the queues under one [[account]]"
        )
    })
}

fn account(section: &Section<'_>, sharers: &HashMap<&str, u32>) -> Checked<Account> {
    let name = section.required("name", Value::name);
    let upstream = upstream(section, &name);
    let budget = budget(section);
    let schedule = schedule(section);
    let sweeps = schedule.as_ref().is_ok_and(|options| options.sweep);
    let shared = section.optional("budget", |value| {
        let name = value.name()?;
        let accounts = sharers.get(name).copied().and_then(NonZeroU32::new);
        Ok(SharedBudget {
            name: name.into(),
            accounts: accounts.unwrap_or(NonZeroU32::MIN),
        })
    });
    let parts = shared.as_ref().ok().and_then(Option::as_ref);
    let parts = parts.map_or(NonZeroU32::MIN, |shared| shared.accounts);
    let queues = queues(section, budget, parts, sweeps);
    let (requests_per_hour, reserve) = budget?;
    Ok(Account {
        name: name?.into(),
        upstream: upstream?,
        requests_per_hour,
        reserve,
        budget: shared?,
        schedule: schedule?,
        queues: queues?,
    })
}

/// What the schedule may do.
fn schedule(section: &Section<'_>) -> Checked<ScheduleOptions> {
    let usual = ScheduleOptions::default();
    let sweep = section.optional("sweep", Value::flag);
    let idle_pace = section.optional("idle_pace", |value| {
        let pace = value.quantity()?.get();
        if pace > 0.0 && pace <= 1.0 {
            return Ok(pace);
        }
        Err(value.wrong(
            "is the share of the pace that an idle account keeps: more than 0 and at most 1",
        ))
    });
    Ok(ScheduleOptions {
        sweep: sweep?.unwrap_or(usual.sweep),
        idle_pace: idle_pace?.unwrap_or(usual.idle_pace),
    })
}

/// Reads the requests per hour, and how many of them are kept back.
fn budget(section: &Section<'_>) -> Checked<(NonZeroU32, u32)> {
    let requests = section.optional("requests_per_hour", |value| requests_per_hour(value));
    let reserve = section.optional("reserve", |value| {
        value.integer(0..=*REQUESTS_PER_HOUR.end())
    });
    let requests = requests?.unwrap_or(CALLTOOLS_LIMIT);
    let reserve = reserve?.unwrap_or(default_reserve(requests));
    if let (true, Some(value)) = (reserve >= requests, section.value("reserve")) {
        return Err(value.wrong(format_args!(
            "is {reserve} of {requests} requests an hour, which leaves none for polling; keep back fewer"
        )));
    }
    let requests = NonZeroU32::new(requests).expect("the bounds of requests_per_hour exclude 0");
    Ok((requests, reserve))
}

fn requests_per_hour(value: &Value<'_>) -> Checked<u32> {
    let requests = value.integer(REQUESTS_PER_HOUR)?;
    if requests > CALLTOOLS_LIMIT {
        value.warn(format_args!(
            "is {requests}, and CallTools allows an account {CALLTOOLS_LIMIT}; it will refuse the rest unless it has raised the limit for this account"
        ));
    }
    Ok(requests)
}

fn queues(
    section: &Section<'_>,
    budget: Checked<(NonZeroU32, u32)>,
    parts: NonZeroU32,
    sweeps: bool,
) -> Checked<Vec<Queue>> {
    let sections = section.tables("queue", &keys::QUEUE, |table, number| {
        name_table("queue", table, "queue", number)
    })?;
    if sections.is_empty() {
        return Err(section.wrong(
            "there is no queue to poll; write [[account.queue]] below the account, and queue = \"its name\"",
        ));
    }
    let names = sections.iter().filter_map(|section| section.value("queue"));
    let names = names.filter_map(|name| Some((queue::peek(&name)?, name)));
    let unique = refuse_repeats(names, |line| {
        format!("is the one of line {line} again; write each queue once")
    });
    let round = budget.map(|(requests, reserve)| Round {
        queues: sections.len(),
        requests: ((requests.get() - reserve) / parts).max(1),
        sweeps,
    });
    let queues = all(sections.iter().map(|section| {
        let queue = queue::queue(section)?;
        round.map_or(Ok(()), |round| round.refuse_impatience(section, &queue))?;
        Ok(queue)
    }));
    unique.and(queues)
}

/// How often a budget comes round to each of its queues, at one request per poll.
#[derive(Clone, Copy)]
struct Round {
    queues: usize,
    /// For polling, per hour.
    requests: u32,
    /// Whether statuses also come from sweeps, far more often, while these can be trusted.
    sweeps: bool,
}

impl Round {
    /// The time between two polls of the same queue.
    fn takes(self) -> Duration {
        let seconds = self.queues as f64 * 3600.0 / f64::from(self.requests);
        Duration::from_secs_f64(seconds)
    }

    /// Rejects a `max_age` that is shorter than a round: the queue would be unknown in every round, which nobody
    /// means. So it is an error, although a queue with many pages may find more room in another's share or less in its own.
    fn refuse_impatience(self, section: &Section<'_>, queue: &Queue) -> Checked<()> {
        let (Some(max_age), Some(value)) = (queue.max_age, section.value("max_age")) else {
            return Ok(());
        };
        if max_age >= self.takes() {
            return Ok(());
        }
        let seconds = Duration::from_secs(self.takes().as_secs_f64().ceil() as u64);
        let (max_age, seconds) = (shown(max_age), shown(seconds));
        let Self {
            queues,
            requests,
            sweeps,
        } = self;
        let noun = if queues == 1 { "queue" } else { "queues" };
        if sweeps && queues > 1 {
            value.warn(format_args!(
                "is {max_age}, and {requests} requests an hour for {queues} {noun} come round every {seconds}: should CallTools not let openseat sweep the whole account, the queue would be unknown between two polls; {seconds} or more is safe"
            ));
            return Ok(());
        }
        Err(value.wrong(format_args!(
            "is {max_age}, but {requests} requests an hour for {queues} {noun} come round every {seconds}: between two polls the queue would be unknown; write {seconds} or more, poll fewer queues, or raise requests_per_hour"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_twentieth_and_at_most_fifty() {
        for (requests, reserve) in [(1, 0), (19, 0), (20, 1), (100, 5), (1000, 50), (5000, 50)] {
            assert_eq!(default_reserve(requests), reserve);
            assert!(reserve < requests);
        }
    }

    #[test]
    fn a_round_is_all_queues_once() {
        let round = Round {
            queues: 30,
            requests: 950,
            sweeps: false,
        };
        assert_eq!(round.takes().as_secs(), 113);
    }
}
