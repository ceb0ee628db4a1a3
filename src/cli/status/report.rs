//! Formats the daemon's answer for people.

use std::{fmt::Write as _, time::Duration};

use super::seen::{Account, Cluster, Fault, Feed, Queue, Seen, Soon};
use crate::{
    cli::{
        daemon::Address,
        terminal::{
            BAD, Column, FAINT, GOOD, MARK, ODD, STRONG, counted, painted, plain, spoken, table,
        },
    },
    cluster::{member::NodeStatus, trouble},
};

const COLUMNS: [Column; 8] = [
    Column::labels(""),
    Column::names("queue"),
    Column::labels("decision"),
    Column::labels("reason"),
    Column::numbers("seats"),
    Column::numbers("threshold"),
    Column::numbers("age"),
    Column::names("agents"),
];

/// Marks an age that approaches its limit.
const AGEING: &str = "!";

/// Formats accounts, queues, and what to do.
pub(super) fn text(seen: &Seen) -> String {
    let accounts = seen.accounts.iter();
    let mut text: String = accounts.map(|one| account(one, &seen.queues)).collect();
    text.push('\n');
    let several = seen.accounts.len() > 1;
    text += &table(
        &COLUMNS,
        seen.queues.iter().map(|queue| row(queue, several)),
    );
    text.push('\n');
    text += &verdict(seen);
    for note in notes(seen) {
        let _ = writeln!(text, "{note}");
    }
    text
}

/// Formats that no answer came.
pub(super) fn unheard(address: &Address, why: &anyhow::Error) -> String {
    format!(
        "{}  {address}: {}\n",
        painted(BAD, "unknown"),
        plain(&format!("{why:#}"))
    )
}

fn account(account: &Account, queues: &[Queue]) -> String {
    let mut text = painted(STRONG, plain(&account.account));
    let (used, limit) = (account.used, account.requests_per_hour);
    let _ = write!(
        text,
        "  {used} of {limit} requests spent in the last hour, {} left ({} kept back); one every {}",
        limit.saturating_sub(used),
        account.reserve,
        spoken(Duration::from_millis(account.request_every_ms)),
    );
    if account.idle {
        text += " while idle, as nobody has asked for ten minutes";
    }
    text += match &*account.feed {
        "delta" => "; statuses by the list of changes",
        "available" => "; statuses by the lists of available agents",
        _ if account.sweeps => "; statuses by sweeps of the account",
        _ => "; queue by queue",
    };
    if account.share < 1.0 {
        let percent = (account.share * 100.0).round();
        let _ = write!(
            text,
            "; other software uses the account too, so at {percent} % of the pace"
        );
    }
    if let Some(until) = account.throttled_until {
        let _ = write!(text, "; CallTools asked for a pause until {until:.0}");
    }
    text.push('\n');
    if let Some(cluster) = &account.cluster {
        let _ = writeln!(text, "  {}", plain(&standing_in(cluster)));
    }
    let queues = queues.iter().filter(|one| one.account == account.account);
    let lines = unused(account)
        .chain(soon_acts(queues))
        .chain(predicted(account));
    for line in lines {
        let _ = writeln!(text, "{}", painted(FAINT, line));
    }
    text
}

/// Says whether `soon` acts, usually in one line: what holds it back mostly holds for the whole account.
fn soon_acts<'a>(queues: impl Iterator<Item = &'a Queue>) -> Vec<String> {
    let mut standings: Vec<(&str, u64)> = Vec::new();
    for soon in queues.filter_map(|queue| queue.soon.as_ref()) {
        match standings
            .iter_mut()
            .find(|(known, _)| *known == soon.standing)
        {
            Some((_, count)) => *count += 1,
            None => standings.push((&soon.standing, 1)),
        }
    }
    let is_common = standings.len() == 1;
    let line = |(standing, count): (&str, u64)| match is_common {
        true => format!("  {}", plain(standing)),
        false => format!("  {}: {}", counted(count, "queue"), plain(standing)),
    };
    standings.into_iter().map(line).collect()
}

/// The plot of the queues' pages as a row: how often an agent was seen, by the predicted probability.
fn predicted(account: &Account) -> Option<String> {
    let situations = account.soon.iter().flat_map(|soon| &soon.situations);
    let any = situations.filter(|one| one.count > 0);
    let dots = any.map(|one| format!("{}: seen {} of {}", one.foretold, one.seen, one.count));
    let dots: Vec<_> = dots.collect();
    (!dots.is_empty()).then(|| {
        format!(
            "  an agent was predicted at zero seats with this probability or up to 0.1 more, in the last 7 days: {}",
            dots.join(", ")
        )
    })
}

fn standing_in(cluster: &Cluster) -> String {
    let nodes = cluster.nodes.iter().map(|node| NodeStatus {
        name: node.name.clone(),
        leads: node.leads,
        behind: node.entries_behind,
    });
    let lag = cluster.lag_ms.map(Duration::from_millis);
    format!(
        "cluster: {}",
        trouble::standing(&nodes.collect::<Vec<_>>(), lag)
    )
}

/// Explains why better feeds are not used. Those that would gain nothing are left out.
fn unused(account: &Account) -> impl Iterator<Item = String> {
    let in_use = |feed: &&Feed| feed.standing == "in_use";
    let better = account.feeds.iter().take_while(move |feed| !in_use(feed));
    let better = better.filter(|feed| feed.standing != "no_gain");
    better.map(|feed| {
        let until = match feed.until {
            Some(until) => format!(" until {until:.0}"),
            None => String::new(),
        };
        format!(
            "  {} is not used{until} ({}): {}",
            plain(&feed.feed),
            plain(&feed.standing),
            plain(&feed.why)
        )
    })
}

fn row(queue: &Queue, several: bool) -> Vec<String> {
    let number = |number: &Option<serde_json::Number>| {
        number.as_ref().map_or("?".to_owned(), ToString::to_string)
    };
    vec![
        if queue.accept {
            MARK.to_string()
        } else {
            String::new()
        },
        plain(&name(queue, several)).into_owned(),
        if queue.accept { "accept" } else { "reject" }.to_owned(),
        plain(&queue.reason).into_owned(),
        number(&queue.count),
        queue
            .threshold
            .as_ref()
            .map_or("-".to_owned(), ToString::to_string),
        age(queue),
        agents(queue),
    ]
}

fn name(queue: &Queue, several: bool) -> String {
    match several {
        true => format!("{}/{}", queue.account, queue.queue),
        false => queue.queue.clone(),
    }
}

fn age(queue: &Queue) -> String {
    let Some(age) = queue.age() else {
        return "-".to_owned();
    };
    let mark = if queue.is_ageing() {
        format!(" {AGEING}")
    } else {
        String::new()
    };
    spoken(age) + &mark
}

/// Formats the statuses, the most frequent first.
fn agents(queue: &Queue) -> String {
    let Some(statuses) = &queue.agents_by_status else {
        return "?".to_owned();
    };
    let mut statuses: Vec<_> = statuses.iter().collect();
    statuses.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let words = statuses
        .iter()
        .map(|(status, count)| format!("{count} {}", plain(status)));
    let apart = [
        (queue.available_on_call, "available but on a call"),
        (queue.available_not_ready, "available but not ready"),
    ];
    let apart = apart.into_iter().filter_map(|(count, text)| {
        let count = count.filter(|count| *count > 0)?;
        Some(format!("{count} {text}"))
    });
    let words: Vec<_> = words.chain(apart).collect();
    match words.as_slice() {
        [] => "nobody".to_owned(),
        words => words.join(", "),
    }
}

fn verdict(seen: &Seen) -> String {
    let unknown = seen.queues.iter().filter(|queue| !queue.is_known()).count();
    let all = seen.queues.len();
    match unknown {
        0 => format!("{}  all {all} queues\n", painted(GOOD, "known")),
        _ => format!("{}  {unknown} of {all} queues\n", painted(BAD, "unknown")),
    }
}

/// Reports that all lists of an account are empty that had agents before.
fn emptied(account: &Account) -> Option<String> {
    let (since, before) = (account.empty_since?, account.agents_before?);
    let text = format!(
        "every queue's list of agents has been empty since {since:.0}; before that there {}",
        if before == 1 {
            "was 1 agent".to_owned()
        } else {
            format!("were {before} agents")
        },
    );
    Some(note(&account.account, &text))
}

/// Lists what is wrong and what to do; once per account if all of it has the same fault.
fn notes(seen: &Seen) -> Vec<String> {
    let mut notes: Vec<_> = seen
        .accounts
        .iter()
        .filter_map(|account| Some(note(&account.account, &fault_text(account.fault.as_ref()?))))
        .collect();
    notes.extend(seen.accounts.iter().filter_map(emptied));
    notes.extend(seen.accounts.iter().filter_map(|account| {
        let trouble = account.cluster.as_ref()?.trouble.as_ref()?;
        let text = format!("{}: {}", trouble.message, trouble.advice);
        Some(note(&account.account, &text))
    }));
    let common = |queue: &Queue| {
        let account = seen
            .accounts
            .iter()
            .find(|one| one.account == queue.account);
        account.is_some_and(|account| account.fault.is_some())
    };
    for queue in seen.queues.iter().filter(|queue| !common(queue)) {
        let text = match (&queue.fault, &queue.detail) {
            (Some(fault), _) => Some(fault_text(fault)),
            (None, detail) => detail.clone(),
        };
        notes.extend(text.map(|text| note(&name(queue, true), &text)));
    }
    let ageing = seen
        .queues
        .iter()
        .filter(|queue| queue.is_known() && queue.is_ageing());
    notes.extend(ageing.map(|queue| {
        let left = spoken(queue.time_left().unwrap_or_default());
        let text = format!(
            "nothing newer has come for a while; what is known may be used for {left} more"
        );
        note(&name(queue, true), &text)
    }));
    notes.extend(seen.queues.iter().flat_map(at_zero_seats));
    notes
}

/// Reports what happened at zero seats, if anything did, if there is something to change, or if the operator has asked for it.
fn at_zero_seats(queue: &Queue) -> Vec<String> {
    let says = |soon: &&Soon| soon.on || soon.calls > 0 || soon.advice.is_some();
    let Some(soon) = queue.soon.as_ref().filter(says) else {
        return Vec::new();
    };
    let text = format!("{}; {}", soon.outcome, soon.standing);
    let text = std::iter::once(text).chain(soon.advice.clone());
    text.map(|text| note(&name(queue, true), &text)).collect()
}

fn fault_text(fault: &Fault) -> String {
    format!("{}: {}", fault.message, fault.advice)
}

fn note(whose: &str, text: &str) -> String {
    format!("{}  {}", painted(ODD, plain(whose)), plain(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_shows_who_leads_who_is_behind_and_what_is_wrong() {
        let accounts = r#"{"accounts": [{
            "account": "main", "requests_per_hour": 1000, "reserve": 50, "used": 3, "share": 1.0, "throttled_until": null,
            "request_every_ms": 3800, "sweeps": true, "feed": "sweep", "feeds": [],
            "cluster": {
                "lag_ms": 31000,
                "nodes": [
                    {"name": "router-1", "leads": true, "entries_behind": 0},
                    {"name": "router-2", "leads": false, "entries_behind": 12}
                ],
                "trouble": {"message": "the engine is gone", "advice": "start it"}
            }
        }]}"#;
        let seen = Seen::read(accounts, r#"{"queues": []}"#).expect("a valid answer of the daemon");
        let shown = text(&seen);
        let standing = "cluster: router-1 leads; nodes: router-1, router-2 (12 entries behind); this node is 31 s behind";
        assert!(shown.contains(standing), "{shown}");
        assert!(shown.contains("the engine is gone: start it"), "{shown}");
    }

    #[test]
    fn an_idle_account_is_shown_as_such() {
        let accounts = r#"{"accounts": [{
            "account": "main", "requests_per_hour": 1000, "reserve": 50, "used": 3, "share": 1.0, "throttled_until": null,
            "request_every_ms": 15400, "idle": true, "sweeps": true, "feed": "sweep", "feeds": []
        }]}"#;
        let seen = Seen::read(accounts, r#"{"queues": []}"#).expect("a valid answer of the daemon");
        let shown = text(&seen);
        let pace = "one every 15 s while idle, as nobody has asked for ten minutes; statuses by";
        assert!(shown.contains(pace), "{shown}");
    }

    #[test]
    fn a_distrusted_feed_is_named_with_the_reason_and_the_time() {
        let accounts = r#"{"accounts": [{
            "account": "main", "requests_per_hour": 1000, "reserve": 50, "used": 3, "share": 1.0, "throttled_until": null,
            "request_every_ms": 3800, "sweeps": true, "feed": "available", "feeds": [
                {"feed": "delta", "standing": "distrusted", "why": "the list is not ordered by the date of change",
                    "until": "2026-11-22T11:00:00.123Z", "requests": 1},
                {"feed": "available", "standing": "in_use", "why": "it takes the fewest requests", "until": null, "requests": 2},
                {"feed": "sweep", "standing": "no_gain", "why": "it takes more", "until": null, "requests": 6},
                {"feed": "queues", "standing": "no_gain", "why": "it takes more", "until": null, "requests": null}
            ]
        }]}"#;
        let seen = Seen::read(accounts, r#"{"queues": []}"#).expect("a valid answer of the daemon");
        let shown = text(&seen);
        let unused: Vec<_> = shown
            .lines()
            .filter(|line| line.contains("not used"))
            .collect();
        let [line] = unused[..] else {
            panic!("{shown}");
        };
        let expected = "delta is not used until 2026-11-22T11:00:00Z (distrusted): the list is not ordered by the date of change";
        assert!(line.contains(expected), "{shown}");
    }

    #[test]
    fn calls_at_zero_seats_are_reported_with_why_soon_does_not_act() {
        let accounts = r#"{"accounts": [{
            "account": "main", "requests_per_hour": 1000, "reserve": 50, "used": 3, "share": 1.0, "throttled_until": null,
            "request_every_ms": 3800, "sweeps": true, "feed": "sweep", "feeds": []
        }]}"#;
        let queue = |name: &str, soon: &str| {
            format!(
                r#"{{"queue": "{name}", "account": "main", "accept": false, "reason": "below_threshold", "count": 0, "threshold": 0, "soon": {soon}}}"#
            )
        };
        let soon = |on: bool, calls: u32, advice: &str| {
            format!(
                r#"{{"on": {on}, "acts": false, "calls": {calls}, "standing": "STANDING", "outcome": "OUTCOME {calls}", "advice": {advice}}}"#
            )
        };
        let queues = [
            queue("measured", &soon(false, 412, "null")),
            queue("asked", &soon(true, 0, r#""shorten the lead""#)),
            queue("quiet", &soon(false, 0, "null")),
            queue("reserving", &soon(false, 0, r#""shorten its lead""#)),
            queue("unknown", "null"),
        ];
        let queues = format!(r#"{{"queues": [{}]}}"#, queues.join(","));
        let seen = Seen::read(accounts, &queues).expect("a valid answer of the daemon");
        let shown = text(&seen);
        let about: Vec<_> = shown
            .lines()
            .filter(|line| {
                ["OUTCOME", "shorten"]
                    .iter()
                    .any(|word| line.contains(word))
            })
            .collect();
        let [measured, asked, advice, reserving, warning] = about[..] else {
            panic!("{shown}");
        };
        assert!(measured.contains("measured") && measured.ends_with("OUTCOME 412; STANDING"));
        assert!(asked.contains("asked") && asked.ends_with("OUTCOME 0; STANDING"));
        assert!(advice.contains("asked") && advice.ends_with("shorten the lead"));
        assert!(reserving.contains("reserving") && reserving.ends_with("OUTCOME 0; STANDING"));
        assert!(warning.contains("reserving") && warning.ends_with("shorten its lead"));
    }

    #[test]
    fn an_account_shows_whether_soon_acts_and_its_plot_even_without_calls() {
        let shown = |situations: &str, standings: &[&str]| {
            let accounts = format!(
                r#"{{"accounts": [{{
                    "account": "main", "requests_per_hour": 1000, "reserve": 50, "used": 3, "share": 1.0, "throttled_until": null,
                    "request_every_ms": 3800, "sweeps": true, "feed": "sweep", "feeds": [], "soon": {situations}
                }}]}}"#
            );
            let queue = |(n, standing): (usize, &&str)| {
                let account = if *standing == "OTHER" {
                    "other"
                } else {
                    "main"
                };
                format!(
                    r#"{{"queue": "{n}", "account": "{account}", "accept": false, "reason": "below_threshold", "count": 0, "threshold": 0, "soon":
                        {{"on": false, "acts": false, "calls": 0, "standing": "{standing}", "outcome": "", "advice": null}}}}"#
                )
            };
            let queues: Vec<_> = standings.iter().enumerate().map(queue).collect();
            let queues = format!(r#"{{"queues": [{}]}}"#, queues.join(","));
            let seen = Seen::read(&accounts, &queues).expect("a valid answer of the daemon");
            let shown = text(&seen);
            let lines = shown.lines().skip(1).take_while(|line| !line.is_empty());
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        // Lines are faint on a terminal.
        let assert_shown = |shown: Vec<String>, expected: &[&str]| {
            assert_eq!(shown.len(), expected.len(), "{shown:?}");
            for (line, expected) in shown.iter().zip(expected) {
                assert!(line.contains(expected), "{shown:?}");
            }
        };
        // An earlier version has no such member.
        assert_shown(
            shown("null", &["it learns", "it learns", "OTHER"]),
            &["  it learns"],
        );
        let situations = r#"{"factor": 0.97, "situations": [
            {"foretold": 0.0, "count": 0, "seen": 0}, {"foretold": 0.1, "count": 40, "seen": 5}, {"foretold": 0.8, "count": 100, "seen": 84}
        ]}"#;
        let expected = [
            "  2 queues: it is off",
            "  1 queue: it is on",
            "  an agent was predicted at zero seats with this probability or up to 0.1 more, in the last 7 days: 0.1: seen 5 of 40, 0.8: seen 84 of 100",
        ];
        assert_shown(
            shown(situations, &["it is off", "it is on", "it is off"]),
            &expected,
        );
    }
}
