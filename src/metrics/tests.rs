use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    budget::Usage,
    clock::Clock,
    decision::{
        OnUnknown, Policy, Reason, board::QueueState, criteria::Mismatch, decide,
        reservations::Holds,
    },
    fixtures::{Still, agent, available, raw, snapshot},
    model::{
        fault::{Down, Fault, FaultKind, NoSuchQueue, QueueListing},
        names::{Names, Status},
        quantity::Quantity,
    },
};

const POLICY: Policy = Policy {
    threshold: Some(Quantity::ZERO),
    asks_threshold: false,
    max_age: Some(Duration::from_secs(90)),
    on_unknown: OnUnknown::Accept,
    hours: None,
};

fn sales() -> QueueKey {
    QueueKey::new("main", "sales")
}

fn metrics(key: &QueueKey) -> Metrics {
    Metrics::new([key.clone()], Still::new().now())
}

fn samples(text: &str, name: &str) -> Vec<String> {
    let of_family = |line: &&str| line.split(['{', ' ']).next() == Some(name);
    text.lines().filter(of_family).map(str::to_owned).collect()
}

#[test]
fn each_reason_is_counted_under_its_own_name() {
    for (index, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, index);
    }
    let (metrics, clock) = (metrics(&sales()), Still::new());
    let queue = metrics.queue(&sales()).expect("the queue is configured");
    let never_polled = decide(&QueueState::default(), &POLICY, 0, clock.now());
    metrics.decision(&queue, &never_polled, Duration::from_micros(3));
    metrics.decision(&queue, &never_polled, Duration::from_micros(3));
    let text = metrics.render(Scrape::default(), Format::Text);
    let labels = "account=\"main\",queue=\"sales\"";
    assert_eq!(
        samples(&text, "openseat_decisions_total"),
        [
            format!("openseat_decisions_total{{{labels},result=\"accept\",reason=\"seats\"}} 0"),
            format!(
                "openseat_decisions_total{{{labels},result=\"reject\",reason=\"below_threshold\"}} 0"
            ),
            format!(
                "openseat_decisions_total{{{labels},result=\"accept\",reason=\"never_polled\"}} 2"
            ),
        ]
    );
    assert_eq!(
        samples(&text, "openseat_decision_duration_seconds_count"),
        ["openseat_decision_duration_seconds_count 2"]
    );
}

#[test]
fn reports_of_polls_are_counted() {
    let metrics = metrics(&sales());
    let account: Arc<str> = "main".into();
    metrics.upstream_request(&account, "agentstatuses", "ok", Duration::from_millis(300));
    metrics.upstream_request(
        &account,
        "agentstatuses",
        "timeout",
        Duration::from_secs(10),
    );
    metrics.budget_wait(&account, Duration::from_secs(2));
    metrics.incomplete_snapshot(&sales());
    metrics.skipped_rows(&sales(), 3);
    metrics.skipped_rows(&QueueKey::new("main", "not configured"), 3);
    metrics.connection_dropped(Dropped::SlowReader);
    let text = metrics.render(Scrape::default(), Format::Text);
    for line in [
        "openseat_upstream_requests_total{account=\"main\",endpoint=\"agentstatuses\",outcome=\"timeout\"} 1",
        "openseat_upstream_request_duration_seconds_count{account=\"main\",endpoint=\"agentstatuses\"} 2",
        "openseat_budget_wait_seconds_bucket{le=\"5.0\",account=\"main\"} 1",
        "openseat_incomplete_snapshots_total{account=\"main\",queue=\"sales\"} 1",
        "openseat_skipped_rows_total{account=\"main\",queue=\"sales\"} 3",
        "openseat_connections_dropped_total{cause=\"slow_reader\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(!text.contains("not configured"));
}

fn scrape_of(state: &QueueState, names: &Names, now: Moment) -> Scrape {
    Scrape {
        queues: vec![QueueGauges::new(
            &sales(),
            state,
            &POLICY,
            &Holds::default(),
            Some(names),
            now,
        )],
        ..Scrape::default()
    }
}

#[test]
fn gauges_show_only_what_is_known() {
    let (metrics, clock) = (metrics(&sales()), Still::new());
    let render = |state: &QueueState| {
        let scrape = scrape_of(state, &Names::default(), clock.now());
        metrics.render(scrape, Format::Text)
    };
    let unknown = render(&QueueState::default());
    let shown: Vec<_> = unknown
        .lines()
        .filter(|line| line.starts_with("openseat_queue_"))
        .collect();
    // Whether it is known, and how many seats are held, has a sample from the start.
    let labels = "{account=\"main\",queue=\"sales\"}";
    let from_the_start = ["openseat_queue_known", "openseat_queue_reservations"];
    assert_eq!(
        shown,
        from_the_start.map(|name| format!("{name}{labels} 0.0"))
    );

    let mut agents = available(2);
    agents.push(agent("9", "Cy", "Lunch"));
    let state = QueueState {
        snapshot: Some(Arc::new(snapshot(clock.now(), agents))),
        last_success: Some(clock.now()),
        ..QueueState::default()
    };
    clock.pass(Duration::from_millis(1500));
    let known = render(&state);
    let labels = "account=\"main\",queue=\"sales\"";
    for line in [
        format!("openseat_queue_seats{{{labels}}} 2.0"),
        format!("openseat_queue_agents{{{labels},status=\"Available\"}} 2.0"),
        format!("openseat_queue_agents{{{labels},status=\"Lunch\"}} 1.0"),
        format!("openseat_queue_snapshot_age_seconds{{{labels}}} 1.5"),
        format!("openseat_queue_last_success_timestamp_seconds{{{labels}}} 1795341600.123"),
    ] {
        assert!(
            known.lines().any(|found| found == line),
            "{line} in\n{known}"
        );
    }
    assert!(!known.contains("last_attempt"), "there was none");

    clock.pass(Duration::from_secs(90));
    let too_old = render(&state);
    assert!(!too_old.contains("openseat_queue_seats"), "{too_old}");
    assert!(!too_old.contains("openseat_queue_agents"), "{too_old}");
    assert!(too_old.contains(&format!(
        "openseat_queue_snapshot_age_seconds{{{labels}}} 91.5"
    )));
}

/// `openseat_queue_known` of a state, now.
fn known(state: &QueueState, now: Moment) -> Vec<String> {
    let scrape = scrape_of(state, &Names::default(), now);
    let text = metrics(&sales()).render(scrape, Format::Text);
    let labels = "openseat_queue_known{account=\"main\",queue=\"sales\"} ";
    let lines = samples(&text, "openseat_queue_known").into_iter();
    lines.map(|line| line.replace(labels, "")).collect()
}

#[test]
fn whether_a_queue_is_known_is_shown_from_the_first_scrape_on() {
    let clock = Still::new();
    let failed = |fault: Fault| QueueState {
        fault: Some(Arc::new(fault)),
        ..QueueState::default()
    };
    let misspelt = NoSuchQueue::Name {
        asked: "slaes".to_owned(),
        nearest: vec!["sales".to_owned()],
        there: QueueListing::default(),
    };
    for unknown in [
        QueueState::default(),
        failed(Fault::NoSuchQueue(misspelt)),
        failed(Fault::BadToken),
        failed(Fault::down(Down::Dns, "no such host")),
    ] {
        assert_eq!(known(&unknown, clock.now()), ["0.0"], "{unknown:?}");
    }
    // An empty queue is known, too.
    let empty = QueueState {
        snapshot: Some(Arc::new(snapshot(clock.now(), Vec::new()))),
        ..failed(Fault::BadToken)
    };
    assert_eq!(known(&empty, clock.now()), ["1.0"]);
    clock.pass(Duration::from_secs(91));
    assert_eq!(known(&empty, clock.now()), ["0.0"]);

    let mut misfit = snapshot(clock.now(), available(1));
    misfit.measured = Err(Mismatch("`count` is text".to_owned()));
    let misfit = QueueState {
        snapshot: Some(Arc::new(misfit)),
        ..QueueState::default()
    };
    assert_eq!(known(&misfit, clock.now()), ["0.0"]);
}

#[test]
fn budgets_show_each_accounts_window() {
    let usage = Usage {
        period: Duration::from_secs(4),
        limit: 1000,
        reserve: 50,
        used: 412,
        share: 0.75,
        throttled_until: None,
    };
    let scrape = Scrape {
        budgets: vec![("main".into(), usage)],
        ..Scrape::default()
    };
    let text = metrics(&sales()).render(scrape, Format::Text);
    for line in [
        "openseat_budget_limit_requests{account=\"main\"} 1000.0",
        "openseat_budget_used_requests{account=\"main\"} 412.0",
        "openseat_budget_share_ratio{account=\"main\"} 0.75",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[test]
fn every_kind_of_fault_has_a_sample_for_every_account() {
    let scrape = Scrape {
        faults: vec![
            ("main".into(), Some(FaultKind::BadToken)),
            ("lab".into(), None),
        ],
        ..Scrape::default()
    };
    let text = metrics(&sales()).render(scrape, Format::Text);
    for account in ["main", "lab"] {
        for &kind in FaultKind::ALL {
            let lasts = u8::from(account == "main" && kind == FaultKind::BadToken);
            let kind = kind.as_str();
            let line = format!(
                "openseat_account_fault{{account=\"{account}\",kind=\"{kind}\"}} {lasts}.0"
            );
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}

fn agents_of(state: &QueueState, names: &Names) -> Vec<(Box<str>, usize)> {
    let now = Still::new().now();
    let gauges = QueueGauges::new(
        &sales(),
        state,
        &POLICY,
        &Holds::default(),
        Some(names),
        now,
    );
    gauges.agents.expect("the snapshot is fresh")
}

fn with_statuses<'a>(statuses: impl IntoIterator<Item = &'a str>) -> QueueState {
    let named = |(n, status): (usize, &'a str)| agent(&n.to_string(), "Ann", status);
    let agents = statuses.into_iter().enumerate().map(named).collect();
    QueueState {
        snapshot: Some(Arc::new(snapshot(Still::new().now(), agents))),
        ..QueueState::default()
    }
}

#[test]
fn a_status_without_agents_counts_zero_and_no_status_is_called_none() {
    let lunch = Status {
        id: 2,
        name: "Lunch".into(),
        queue_action: None,
        raw: raw(&serde_json::json!({})),
    };
    let names = Names {
        statuses: Some(vec![lunch]),
        ..Names::default()
    };
    let mut state = with_statuses([]);
    let mut nobody = agent("1", "Ann", "");
    nobody.status = None;
    state.snapshot = Some(Arc::new(snapshot(Still::new().now(), vec![nobody])));
    assert_eq!(
        agents_of(&state, &names),
        [("Lunch".into(), 0), ("none".into(), 1)]
    );
}

#[test]
fn an_agent_of_several_queues_counts_once_in_the_account_with_the_newest_status() {
    let now = Still::new().now();
    let mut later = agent("2", "Bo", "Lunch");
    later.status_since = Some(jiff::Timestamp::constant(1_795_341_009, 0));
    let sales = vec![agent("1", "Ann", "Available"), later];
    let support = vec![agent("2", "Bo", "Available"), agent("3", "Cy", "Lunch")];
    let snapshots = [sales, support].map(|agents| Arc::new(snapshot(now, agents)));
    let expected = [("Available".into(), 1), ("Lunch".into(), 2)];
    let names = Names::default();
    assert_eq!(each_once(&snapshots, &names), expected);
    let [sales, support] = snapshots;
    assert_eq!(each_once(&[support, sales], &names), expected);

    let scrape = Scrape {
        agents: vec![("main".into(), expected.to_vec())],
        ..Scrape::default()
    };
    let text = metrics(&QueueKey::new("main", "sales")).render(scrape, Format::Text);
    assert_eq!(
        samples(&text, "openseat_account_agents"),
        [
            "openseat_account_agents{account=\"main\",status=\"Available\"} 1.0",
            "openseat_account_agents{account=\"main\",status=\"Lunch\"} 2.0",
        ]
    );
}

proptest! {
    #[test]
    fn statuses_are_bounded_and_no_agent_is_lost(statuses in proptest::collection::vec("[a-f]{1,2}|other", 0..200)) {
        let state = with_statuses(statuses.iter().map(String::as_str));
        let counts = agents_of(&state, &Names::default());
        prop_assert!(counts.len() <= MAX_STATUS_LABELS);
        prop_assert_eq!(counts.iter().map(|(_, count)| count).sum::<usize>(), statuses.len());
        let labels: BTreeSet<_> = counts.iter().map(|(status, _)| status).collect();
        prop_assert_eq!(labels.len(), counts.len(), "a label value twice is an invalid exposition");
    }

    #[test]
    fn no_name_breaks_the_exposition(account in "\\PC{0,8}|[\"\\\\\n{},= ]{0,8}", queue in "\\PC{0,8}|[\"\\\\\n{},= ]{0,8}") {
        let key = QueueKey::new(account, queue);
        let text = metrics(&key).render(Scrape::default(), Format::Text);
        let lines = samples(&text, "openseat_decisions_total");
        prop_assert_eq!(lines.len(), 2, "{}", text);
        for line in lines {
            prop_assert_eq!(unescaped(&line), (key.account.to_string(), key.queue.to_string()));
        }
    }
}

/// Reads the labels of a sample, as a scraper does.
fn unescaped(line: &str) -> (String, String) {
    let mut values = Vec::new();
    let mut chars = line.chars();
    while chars.by_ref().any(|c| c == '"') {
        let mut value = String::new();
        while let Some(c) = chars.next().filter(|c| *c != '"') {
            value.push(match c {
                '\\' => match chars.next().expect("an escape has two characters") {
                    'n' => '\n',
                    escaped => escaped,
                },
                plain => plain,
            });
        }
        values.push(value);
    }
    (values[0].clone(), values[1].clone())
}

#[test]
fn openmetrics_is_sent_only_on_request() {
    assert_eq!(Format::wanted(None), Format::Text);
    assert_eq!(Format::wanted(Some("*/*")), Format::Text);
    let prometheus =
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(Format::wanted(Some(prometheus)), Format::OpenMetrics);
}
