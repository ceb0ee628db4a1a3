use std::sync::Arc;

use clap::{Args as _, Parser};

use super::*;
use crate::{
    cli::{
        args::{self, Cli, Command},
        simulate::{
            flags::{Flags, TOLD_BY_REPORTS},
            start,
        },
    },
    clock::{Clock, VirtualClock},
    fixtures::surveyed,
    server::check::survey::People,
    simulator::Simulator,
};

fn parse(flags: &[&str]) -> Result<args::Simulate, clap::Error> {
    let words = ["openseat", "simulate"];
    let quick = ["--latency", "0s"];
    let quick = quick.iter().filter(|_| !flags.contains(&"--latency"));
    match Cli::try_parse_from(words.iter().chain(quick).chain(flags))?.command {
        Command::Simulate(options) => Ok(options),
        other => panic!("{other:?}"),
    }
}

/// The report on a simulator with these flags, or on one that imitates a report.
async fn report(flags: &[&str], likeness: Option<&Likeness>) -> SurveyReport {
    report_by(flags, likeness, ORDERING_FIELD).await
}

async fn report_by(flags: &[&str], likeness: Option<&Likeness>, field: &str) -> SurveyReport {
    let (simulator, clock) = simulator(flags, likeness);
    reported(&simulator, field, &clock).await
}

fn simulator(flags: &[&str], likeness: Option<&Likeness>) -> (Simulator, Arc<dyn Clock>) {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
    let options = parse(flags).expect("valid flags");
    let simulator = start(&options, likeness, Arc::clone(&clock)).expect("the simulator starts");
    (simulator, clock)
}

async fn reported(simulator: &Simulator, field: &str, clock: &Arc<dyn Clock>) -> SurveyReport {
    let report = surveyed(simulator, field, clock).await.expect("answers");
    // The report passes through JSON, as in a file.
    let written = serde_json::to_string(&report).expect("the report serializes");
    serde_json::from_str(&written).expect("a report")
}

/// The findings without the numbers that differ from day to day.
fn comparable(report: &SurveyReport) -> Findings {
    let some = |number: u64| u64::from(number > 0);
    let people = report.found.people.map(|people| People {
        listed: 0,
        available: some(people.available),
        available_on_call: some(people.available_on_call),
        available_not_ready: some(people.available_not_ready),
        on_call: some(people.on_call),
    });
    let ahead = report.found.newest_change_ahead_seconds;
    Findings {
        people,
        newest_change_ahead_seconds: ahead.map(|ahead| i64::from(ahead > 1)),
        latency_ms: report.found.latency_ms.map(|ms| u64::from(ms > 500)),
        ..report.found.clone()
    }
}

/// More agents than a page has.
const LARGE: [&str; 2] = ["--agents", "300"];

/// Those who are at home fill more than a page, and so can those who have no date.
const HUGE: [&str; 2] = ["--agents", "1000"];

const OF_LARGE_ACCOUNTS: [&[&str]; 16] = [
    &[],
    &["--ordering", "off"],
    &["--ordering", "ascending-only"],
    &["--ordering", "wrong-field"],
    &["--ordering-name", "modified"],
    &["--undated", "10%"],
    &["--undated", "10%", "--nulls", "smallest"],
    &["--undated", "10%", "--ordering", "ascending-only"],
    &[
        "--undated",
        "10%",
        "--ordering",
        "ascending-only",
        "--nulls",
        "smallest",
    ],
    &["--page-size-max", "whole"],
    &["--page-size-max", "ignored"],
    &["--links-origin", "http://10.0.0.7:8000"],
    &["--filter", "off"],
    &["--count-off-by", "4"],
    &["--sweep", "stale"],
    &["--endless-pages"],
];

const OF_HUGE_ACCOUNTS: [&[&str]; 7] = [
    &[],
    &["--ordering", "wrong-field"],
    &["--ordering", "ascending-only"],
    &["--sweep", "partial", "--page-size-max", "whole"],
    &["--undated", "60%"],
    &["--undated", "60%", "--nulls", "smallest"],
    &["--bare-array"],
];

const OF_SMALL_ACCOUNTS: [&[&str]; 32] = [
    &["--queues", "3"],
    &["--agents", "40"],
    &["--latency", "2s"],
    &["--ordering", "off"],
    &["--ordering", "wrong-field"],
    &["--filter", "off"],
    &["--change-filter", "on"],
    &["--page-size-max", "ignored"],
    &["--sweep", "forbidden"],
    &["--sweep", "not-found"],
    &["--sweep", "partial"],
    &["--sweep", "stale"],
    &["--foreign-queue", "empty"],
    &["--foreign-queue", "not-found"],
    &["--endless-pages"],
    &["--bare-array"],
    &["--count-off-by", "3"],
    &["--count-off-by", "-2"],
    &["--statuses-forbidden"],
    &["--clocks-apart", "2h"],
    &["--clocks-apart", "20s"],
    &["--calls-without-status", "50%"],
    &["--dates", "seconds"],
    &["--dates", "spaced"],
    &["--agent-status", "name"],
    &["--agent-status", "null"],
    &["--app-user", "number"],
    &["--app-user", "url"],
    &["--app-user", "object"],
    &["--queue-logged-in", "never"],
    &["--queue-logged-in", "always"],
    &["--undated", "100%"],
];

fn cases() -> impl Iterator<Item = (&'static [&'static str], &'static [&'static str])> {
    let large = OF_LARGE_ACCOUNTS.iter().map(|flags| (&LARGE[..], *flags));
    let huge = OF_HUGE_ACCOUNTS.iter().map(|flags| (&HUGE[..], *flags));
    let small = OF_SMALL_ACCOUNTS.iter().map(|flags| (&[][..], *flags));
    large.chain(huge).chain(small)
}

#[tokio::test(start_paused = true)]
async fn a_simulator_like_a_report_gives_the_same_report() {
    let (mut differ, mut plain) = (Vec::new(), None);
    for (size, flags) in cases() {
        let odd = report(&[size, flags].concat(), None).await;
        // The first case of each size is plain, or the last size's is not the same.
        let plain = match &plain {
            Some((of, found)) if *of == size => found,
            _ => {
                &plain
                    .insert((size, comparable(&report(size, None).await)))
                    .1
            }
        };
        let is_odd = comparable(&odd) != *plain;
        assert_eq!(is_odd, !flags.is_empty(), "{flags:?}: nothing was found");
        let likeness = Likeness::of_report(&odd);
        let again = report(&[], Some(&likeness)).await;
        // By what such a list is sorted is not known, only that it is.
        let warned = match odd.found.ordering {
            Some(Ordering::Unsorted) => &["how ordering= sorts"][..],
            _ => &[],
        };
        if comparable(&odd) != comparable(&again) || likeness.not_imitated != warned {
            differ.push((size, flags, likeness.not_imitated, odd.found, again.found));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
    for flag in TOLD_BY_REPORTS {
        let flag = format!("--{}", flag.replace('_', "-"));
        let is_tried = cases().any(|(_, flags)| flags.contains(&&*flag));
        assert!(is_tried, "{flag} is not tried");
    }
}

#[tokio::test(start_paused = true)]
async fn what_ten_requests_do_not_show_is_said_and_changes_no_finding() {
    let plain = report(&LARGE, None).await;
    for (flags, subject) in [
        (&["--lag", "3s"][..], "copies of the data that lag"),
        (
            &["--late-commits", "3s"],
            "changes that appear late or keep their date",
        ),
        (
            &["--still-dates", "5%"],
            "changes that appear late or keep their date",
        ),
        (&["--ties", "random"], "the order of equal dates"),
        (&["--rows-move"], "rows that move between pages"),
        (&["--retry-after", "absent"], "Retry-After"),
        (&["--cache", "30s"], "a cache on the way"),
    ] {
        let odd = report(&[&LARGE, flags].concat(), None).await;
        assert_eq!(comparable(&odd), comparable(&plain), "{flags:?}");
        let open = odd.said.last().expect("a line");
        assert!(
            open.starts_with("not judged: ") && open.contains(subject),
            "{open}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_keeps_answers_for_as_long_as_the_report_shows() {
    let twice = async |flags: &[&str], likeness: Option<&Likeness>| {
        let (simulator, clock) = simulator(flags, likeness);
        reported(&simulator, ORDERING_FIELD, &clock).await;
        tokio::time::sleep(Duration::from_secs(12)).await;
        reported(&simulator, ORDERING_FIELD, &clock).await
    };
    let odd = twice(&["--cache", "30s"], None).await;
    assert_eq!(odd.found.cached_seconds, Some(12));
    let likeness = Likeness::of_report(&odd);
    assert_eq!(likeness.not_imitated, [""; 0]);
    let again = twice(&[], Some(&likeness)).await;
    assert_eq!(comparable(&again), comparable(&odd));
}

#[tokio::test(start_paused = true)]
async fn a_flag_switches_off_a_reported_cache_and_none_lasts_for_ever() {
    let mut odd = report(&[], None).await;
    odd.found.cached_seconds = Some(12);
    let likeness = Likeness::of_report(&odd);
    for (flags, expected) in [
        (&[][..], 13),
        (&["--cache", "0s"], 0),
        (&["--cache", "5s"], 5),
    ] {
        let cache = quirks(flags, Some(&likeness)).cache;
        assert_eq!(cache, Duration::from_secs(expected), "{flags:?}");
    }
    odd.found.cached_seconds = Some(u64::MAX);
    let cache = Likeness::of_report(&odd).quirks.cache;
    assert_eq!(cache, Duration::from_secs(86_401));
}

#[tokio::test(start_paused = true)]
async fn pages_of_another_size_are_imitated() {
    for (agents, limit) in [
        ("300", 100),
        ("120", 100),
        ("2000", 40),
        ("2000", 700),
        ("300", 10),
    ] {
        let (simulator, clock) = simulator(&["--agents", agents], None);
        simulator.quirks(|quirks| quirks.page_limit = NonZeroUsize::new(limit));
        let odd = reported(&simulator, ORDERING_FIELD, &clock).await;
        assert_eq!(
            odd.found.largest_page,
            Some(limit as u64),
            "{agents}, {limit}"
        );
        assert_eq!(
            odd.found.agents.map(|size| size.to_string()).as_deref(),
            Some(agents)
        );
        assert_eq!(odd.found.count, Some(Count::Exact), "{limit}");
        assert_eq!(
            odd.found.page_size_max,
            Some(PageSizeMax::Clipped),
            "{limit}"
        );
        assert_eq!(
            odd.found.past_the_end,
            Some(PastTheEnd::NotFound),
            "{limit}"
        );
        let likeness = Likeness::of_report(&odd);
        assert_eq!(likeness.not_imitated, [""; 0], "{limit}");
        let again = report(&[], Some(&likeness)).await;
        assert_eq!(comparable(&odd), comparable(&again), "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_ordering_field_is_imitated_too() {
    for (size, flags, expected) in [
        (LARGE, &[][..], Some(Ordering::NewestFirst)),
        (
            LARGE,
            &["--ordering", "ascending-only"],
            Some(Ordering::OldestFirst),
        ),
        (
            LARGE,
            &["--ordering", "wrong-field"],
            Some(Ordering::ByOther(OtherDate::LoggedInSince)),
        ),
        // The first page has only agents without a date.
        (HUGE, &["--undated", "60%"], None),
    ] {
        let name = ["--ordering-name", "modified"];
        let odd = report_by(&[&size, &name, flags].concat(), None, "modified").await;
        let likeness = Likeness::of_report(&odd);
        let again = report_by(&[], Some(&likeness), "modified").await;
        assert_eq!(again.found.ordering, expected);
        assert_eq!(comparable(&again), comparable(&odd));
        let usual = report(&[], Some(&likeness)).await;
        assert_eq!(usual.found.ordering, Some(Ordering::Ignored));
    }
    // Here the list does what it is asked to.
    let odd = report_by(&LARGE, None, "logged_in_since").await;
    let likeness = Likeness::of_report(&odd);
    let again = report_by(&[], Some(&likeness), "logged_in_since").await;
    assert_eq!(comparable(&again), comparable(&odd));
    let usual = report(&[], Some(&likeness)).await;
    assert_eq!(usual.found.ordering, Some(Ordering::NewestFirst));
}

#[tokio::test(start_paused = true)]
async fn dates_in_local_time_are_imitated_as_such() {
    let mut odd = report(&[], None).await;
    for (seconds, zone_minutes, apart) in [
        (18_000, 300, 0),
        (20_650, 345, 0),
        (7_000, 120, 0),
        (150, 0, 151),
        (3, 0, 4),
        (1, 0, 0),
        (0, 0, 0),
        (-18_000, -300, 0),
        (-18_120, -300, 0),
        (-12_640, -210, 0),
        // At night, the newest change is old.
        (-250, 0, 0),
        (-1_000, 0, 0),
        (-54_000, 0, 0),
    ] {
        odd.found.newest_change_ahead_seconds = Some(seconds);
        let quirks = Likeness::of_report(&odd).quirks;
        let found = (quirks.dates_ahead, quirks.clocks_apart);
        let expected = (
            SignedDuration::from_mins(zone_minutes),
            Duration::from_secs(apart),
        );
        assert_eq!(found, expected, "{seconds} s");
    }
    for zone in [18_000, -18_000] {
        odd.found.newest_change_ahead_seconds = Some(zone);
        let again = report(&[], Some(&Likeness::of_report(&odd))).await;
        let ahead = again.found.newest_change_ahead_seconds.expect("dates");
        assert!((zone - 1_000..=zone).contains(&ahead), "{ahead}");
    }
}

#[test]
fn findings_that_the_simulator_cannot_imitate_are_reported() {
    let found = Findings {
        count: Some(Count::Absent),
        dates: Some(DateForm::Offset),
        queues_list: Some(Access::Forbidden),
        ordering: Some(Ordering::Unsorted),
        ..Findings::default()
    };
    let notes = not_imitated(&found);
    let expected = [
        "queues/ cannot be read",
        "how ordering= sorts",
        "no count",
        "the form of dates",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn flags_that_a_report_determines_are_rejected_with_one() {
    let parse_with = |flags: &[&str]| {
        let words = ["openseat", "simulate", "--like", "report.json"];
        Cli::try_parse_from(words.iter().chain(flags)).map(|_| ())
    };
    for flags in [
        &["--ordering", "off"][..],
        &["--agents", "10"],
        &["--filter", "off"],
        &["--latency", "1s"],
        &["--app-user", "url"],
        &["--bare-array"],
    ] {
        let refused = parse_with(flags).expect_err("an error").to_string();
        assert!(
            refused.contains("cannot be used with"),
            "{flags:?}: {refused}"
        );
    }
    for flags in [
        &["--fault", "503"][..],
        &["--lag", "30s"],
        &["--cache", "5s"],
        &["--seats", "3"],
        &["--seed", "7"],
    ] {
        parse_with(flags).expect("not a part of a report");
    }
}

/// The quirks of a simulator with these flags.
fn quirks(flags: &[&str], likeness: Option<&Likeness>) -> Quirks {
    let options = parse(flags).expect("valid flags");
    let simulator =
        start(&options, likeness, Arc::new(VirtualClock::default())).expect("the simulator starts");
    let mut found = Quirks::default();
    simulator.quirks(|quirks| found = quirks.clone());
    found
}

#[tokio::test(start_paused = true)]
async fn each_flag_that_a_report_does_not_determine_adds_to_it() {
    let added: [(&str, &[&str]); 10] = [
        ("retry_after", &["--retry-after", "absent"]),
        ("lag", &["--lag", "30s"]),
        ("lag_of", &["--lag-of", "ordered"]),
        ("lag_varies", &["--lag-varies"]),
        ("lag_share", &["--lag-share", "10%"]),
        ("late_commits", &["--late-commits", "5s"]),
        ("cache", &["--cache", "5s"]),
        ("ties", &["--ties", "random"]),
        ("rows_move", &["--rows-move"]),
        ("still_dates", &["--still-dates", "10%"]),
    ];
    let likeness = Likeness::of_report(&report(&[], None).await);
    let plain = quirks(&[], Some(&likeness));
    for (name, flags) in added {
        let both = quirks(flags, Some(&likeness));
        assert_ne!(both, plain, "{name} is ignored");
        assert_eq!(both, quirks(flags, None), "{name}");
    }
    // These two are no quirks.
    let others = ["faults", "foreign"].into_iter();
    let known: Vec<_> = others
        .chain(added.map(|(name, _)| name))
        .chain(TOLD_BY_REPORTS)
        .collect();
    let flags = Flags::augment_args(clap::Command::new("flags"));
    for flag in flags.get_arguments().map(|flag| flag.get_id().as_str()) {
        assert!(known.contains(&flag), "--like is not tested with {flag}");
    }
}

#[test]
fn a_file_that_is_not_a_report_is_rejected_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    let refused = |text: &str| {
        std::fs::write(&path, text).expect("a file");
        format!("{:#}", read(&path).expect_err("no report"))
    };
    assert!(refused("{}").contains("is not a report of openseat check --report"));
    assert!(refused("\u{0}").contains("is not a report"));
    let other = r#"{"openseat":"9.0.0","format":2,"asked_at":"","ordering_field":"","requests":0,
        "stopped":null,"said":[],"found":{},"answers":[]}"#;
    let refused = refused(other);
    assert!(
        refused.contains("format 2") && refused.contains("openseat 9.0.0"),
        "{refused}"
    );
}

#[test]
fn a_number_that_no_survey_finds_is_rejected_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    let read_with = |found: &str| {
        let text = format!(
            r#"{{"openseat":"9.0.0","format":1,"asked_at":"","ordering_field":"","requests":0,
            "stopped":null,"said":[],"found":{found},"answers":[]}}"#
        );
        std::fs::write(&path, text).expect("a file");
        read(&path).map(|report| Likeness::of_report(&report))
    };
    let people = r#""listed":1,"available":1,"available_not_ready":0"#;
    for (found, place) in [
        (r#"{"queues":10000001}"#.to_owned(), "queues is 10000001"),
        (
            r#"{"agents":18446744073709551615}"#.to_owned(),
            "agents is 184",
        ),
        (
            r#"{"count":{"off_by":-9223372036854775808}}"#.to_owned(),
            "count.off_by is -922",
        ),
        (
            r#"{"undated_percent":101}"#.to_owned(),
            "undated_percent is 101",
        ),
        (
            r#"{"latency_ms":3600001}"#.to_owned(),
            "latency_ms is 3600001",
        ),
        (
            r#"{"newest_change_ahead_seconds":3900000000000}"#.to_owned(),
            "newest_change_ahead_seconds is 3900000000000",
        ),
        (
            r#"{"clock_ahead_seconds":-9223372036854775808}"#.to_owned(),
            "clock_ahead_seconds is -922",
        ),
        (
            format!(
                r#"{{"people":{{{people},"on_call":1,"available_on_call":18446744073709551615}}}}"#
            ),
            "people.available_on_call is 184",
        ),
    ] {
        let refused = format!("{:#}", read_with(&found).expect_err("no report"));
        assert!(refused.contains(&format!("found.{place}")), "{refused}");
        assert!(refused.contains("it must be between"), "{refused}");
    }
    // The farthest date that CallTools could write.
    let farthest = read_with(r#"{"newest_change_ahead_seconds":251617190400}"#);
    let quirks = farthest.expect("a report").quirks;
    assert!(
        quirks.dates_ahead.unsigned_abs().max(quirks.clocks_apart)
            >= Duration::from_secs(251_617_190_400)
    );
}
