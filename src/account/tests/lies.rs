//! Tests that lists which mislead the feeds do not mislead the board.

use std::{cmp::Reverse, collections::HashMap};

use jiff::{SignedDuration, Timestamp};

use super::{
    feeds::{edit, feed, feed_lines, large, lie},
    truth::Truth,
    *,
};
use crate::{
    account::feeds::Feed,
    logged::listen,
    simulator::{DateForm, LaggingLists, NullOrder, Ordering, PageSizeMax, Quirks, Ties, World},
};

/// A way in which an account's lists can mislead, and what is expected of the board.
struct Case {
    name: &'static str,
    world: fn(&mut WorldSettings),
    page_limit: usize,
    quirks: fn(&mut Quirks),
    lie: Option<Lie>,
    /// Changes the world after this many minutes.
    each_minute: fn(&Fixture, u64),
    /// How much older than they say CallTools' lists may be.
    lag: Duration,
    /// For how long the list of changes may be used although it omits changes. Statuses may be wrong while it is used.
    found_within: Duration,
    /// The feed at the end.
    feed: Feed,
    /// How many log lines about feeds there may be.
    lines: usize,
}

const HONEST: Case = Case {
    name: "honest",
    world: |_| {},
    page_limit: 50,
    quirks: |_| {},
    lie: None,
    each_minute: |_, _| {},
    lag: Duration::ZERO,
    found_within: Duration::ZERO,
    feed: Feed::Delta,
    lines: 1,
};

/// Lives 20 minutes in a world with this case, and 2 more in which nobody changes.
async fn lived(case: &Case, seed: u64) -> Fixture {
    let (logged, _guard) = listen();
    let mut setting = large(seed);
    setting.page_limit = NonZeroUsize::new(case.page_limit);
    // The available agents fit on one page. With several, a reading can miss an agent between two pages, which the next reading corrects.
    setting.world.mean_idle = 40 * SECOND;
    (case.world)(&mut setting.world);
    let fixture = setting.start();
    fixture.simulator.quirks(case.quirks);
    lie(&fixture, case.lie);
    let mut truth = Truth::of(&fixture);
    let told = || {
        let feed = feed(&fixture);
        format!("{}: {feed:?}, {:?}", case.name, feed_lines(&logged))
    };
    let mut places = fixture.places().cycle();
    let (begun, mut unknown_since) = (fixture.clock.now(), HashMap::new());
    let (omits, mut used) = (!case.found_within.is_zero(), Duration::ZERO);
    let mut look = |fixture: &Fixture, truth: &Truth| {
        let is_delta = feed(fixture) == Feed::Delta;
        used += if is_delta { SECOND } else { Duration::ZERO };
        for place in places.by_ref().take(5) {
            let shown = truth.shown_too_new(fixture, place, case.lag);
            let may_be_wrong = omits && is_delta;
            assert!(shown.is_none() || may_be_wrong, "{}: {shown:?}", told());
            let (decision, now) = (fixture.decide(place), fixture.clock.now());
            if decision.reason.is_known() || now.longest_since(begun) < 5 * MINUTE {
                unknown_since.remove(&place);
                continue;
            }
            let since = *unknown_since.entry(place).or_insert(now);
            let lasts = now.longest_since(since);
            assert!(lasts < 2 * MINUTE, "{place}: {decision:?}, {}", told());
        }
    };
    for minute in 0..20 {
        (case.each_minute)(&fixture, minute);
        truth.follow(&fixture, MINUTE, &mut look).await;
    }
    let names = feed(&fixture) != Feed::Available;
    let wrong = truth.wrong(&fixture, 2 * MINUTE, names);
    assert!(wrong.is_empty(), "{}: {wrong:?}", told());
    fixture.simulator.world(|world| world.freeze());
    truth.follow(&fixture, 2 * MINUTE, &mut look).await;
    let wrong = truth.wrong(&fixture, Duration::ZERO, names);
    assert!(wrong.is_empty(), "frozen, {}: {wrong:?}", told());

    assert_eq!(feed(&fixture), case.feed, "{}", told());
    assert!(!omits || used <= case.found_within, "{used:?}, {}", told());
    assert!(feed_lines(&logged).len() <= case.lines, "{}", told());
    // A queue of several pages may miss an agent between two of them.
    let mut lines = logged.lines();
    lines.retain(|line| !line.contains("CallTools' count"));
    assert!(lines.len() <= case.lines + 3, "{lines:?}");
    assert_eq!(fixture.distrusted(), 0, "{}", told());
    assert_eq!(fixture.simulator.throttled(), 0);
    assert!(fixture.simulator.worst_sliding_hour() <= 1000);
    fixture
}

#[tokio::test(start_paused = true)]
async fn odd_dates_do_not_end_the_trust_in_changes() {
    for case in [
        Case {
            name: "whole seconds, ties in any order",
            quirks: |quirks| {
                (quirks.dates, quirks.ties) = (DateForm::Seconds, Ties::Random);
            },
            ..HONEST
        },
        Case {
            name: "two clocks",
            quirks: |quirks| quirks.clocks_apart = 3 * SECOND,
            ..HONEST
        },
        Case {
            name: "local time, east",
            quirks: |quirks| quirks.dates_ahead = SignedDuration::from_hours(5),
            ..HONEST
        },
        Case {
            name: "local time, west",
            quirks: |quirks| quirks.dates_ahead = SignedDuration::from_hours(-5),
            ..HONEST
        },
        Case {
            name: "a wall clock that is fast",
            each_minute: |fixture, minute| {
                if minute == 0 {
                    fixture.clock.step_wall(90_000);
                }
            },
            ..HONEST
        },
        Case {
            name: "calls without a change of status",
            world: |world| world.calls_without_status = 60,
            ..HONEST
        },
    ] {
        lived(&case, 21).await;
    }
}

/// Gives an agent a date an hour ahead while they are available.
fn date_far_ahead(path: &str, answer: &mut Result<Reply, Fault>) {
    const DATE: &str = "agent_status_modified_on";
    let date = |row: &Value| -> Option<Timestamp> { row[DATE].as_str()?.parse().ok() };
    if !path.starts_with("agentstatuses/") {
        return;
    }
    edit(answer, |body| {
        let rows = body["results"].as_array_mut().unwrap();
        for row in rows.iter_mut().filter(|row| row["extension"] == "1001") {
            if let (true, Some(date)) = (row["status"] == "Available", date(row)) {
                row[DATE] = json!((date + SignedDuration::from_hours(1)).to_string());
            }
        }
        if is_of_changes(path) {
            rows.sort_by_key(|row| Reverse(date(row)));
        }
    });
}

#[tokio::test(start_paused = true)]
async fn dates_that_go_back_or_are_far_ahead_make_no_status_wrong_or_unknown() {
    for case in [
        Case {
            name: "summer time ends",
            each_minute: |fixture, minute| {
                if minute == 8 {
                    let hour = SignedDuration::from_hours(-1);
                    fixture.simulator.quirks(|quirks| quirks.dates_ahead = hour);
                }
            },
            ..HONEST
        },
        Case {
            name: "an agent has dates far ahead",
            lie: Some(date_far_ahead),
            ..HONEST
        },
        Case {
            name: "summer time ends without lists of changes",
            quirks: |quirks| quirks.ordering = Ordering::Off,
            each_minute: |fixture, minute| {
                if minute == 8 {
                    let hour = SignedDuration::from_hours(-1);
                    fixture.simulator.quirks(|quirks| quirks.dates_ahead = hour);
                }
            },
            feed: Feed::Available,
            lines: 2,
            ..HONEST
        },
    ] {
        lived(&case, 28).await;
    }
}

#[tokio::test(start_paused = true)]
async fn agents_at_home_without_a_date_fill_the_first_pages() {
    // As 600 agents of 2,000 with pages of 250 rows.
    let case = Case {
        name: "600 of 2,000 have no date",
        // The first page that has dates has only twenty of them.
        world: |world| world.mean_call = 900 * SECOND,
        page_limit: 33,
        quirks: |quirks| quirks.undated_percent = 30,
        each_minute: |fixture, minute| {
            if minute > 0 {
                return;
            }
            let home = fixture.status("Gone for the Day");
            fixture.simulator.world(|world| {
                for id in world.agents() {
                    if world.agent(&id).unwrap().number * 37 % 100 < 30 {
                        world.set_status(&id, home);
                    }
                }
            });
        },
        ..HONEST
    };
    let fixture = lived(&case, 22).await;
    let sent = fixture.sent();
    let changes = sent.iter().filter(|path| path.contains("ordering="));
    let third = changes.clone().filter(|path| path.contains("page=3"));
    let (third, all) = (third.count(), changes.count());
    assert!(third * 10 > all * 9, "{third} of {all}");
}

#[tokio::test(start_paused = true)]
async fn old_answers_make_statuses_old_but_not_wrong() {
    for case in [
        Case {
            name: "late commits",
            quirks: |quirks| quirks.late_commits = 5 * SECOND,
            lag: 5 * SECOND,
            ..HONEST
        },
        Case {
            name: "a replica that lags",
            quirks: |quirks| (quirks.lag, quirks.lag_spares) = (20 * SECOND, 67),
            lag: 20 * SECOND,
            feed: Feed::Available,
            lines: 3,
            ..HONEST
        },
        Case {
            name: "a cache",
            quirks: |quirks| quirks.cache = 30 * SECOND,
            lag: SECOND,
            feed: Feed::Available,
            lines: 3,
            ..HONEST
        },
        Case {
            name: "rows that move between pages",
            quirks: |quirks| quirks.rows_move = true,
            ..HONEST
        },
    ] {
        lived(&case, 23).await;
    }
}

/// Lives 20 minutes in a world whose lists of all agents lag behind the polls of queues. Returns the mean age in seconds once the lag is known.
async fn lived_behind(lag: Duration, quirks: fn(&mut Quirks), feed_at_the_end: Feed) -> f64 {
    let mut setting = large(24);
    setting.world.mean_idle = 40 * SECOND;
    let fixture = setting.start();
    fixture.simulator.quirks(|one| {
        (one.lag, one.lag_of) = (lag, LaggingLists::OfAllQueues);
        quirks(one);
    });
    let mut truth = Truth::of(&fixture);
    truth
        .follow(&fixture, 6 * MINUTE, &mut |_: &Fixture, _: &Truth| {})
        .await;
    let mut places = fixture.places().cycle();
    let (mut ages, mut decisions) = (Duration::ZERO, 0);
    let mut look = |fixture: &Fixture, truth: &Truth| {
        for place in places.by_ref().take(5) {
            let shown = truth.shown_too_new(fixture, place, Duration::ZERO);
            assert!(shown.is_none(), "{feed_at_the_end:?}: {shown:?}");
            let decision = fixture.decide(place);
            assert!(
                decision.reason.is_known(),
                "{feed_at_the_end:?}: {decision:?}"
            );
            ages += decision.age.unwrap();
            decisions += 1;
        }
    };
    truth.follow(&fixture, 14 * MINUTE, &mut look).await;
    assert_eq!(feed(&fixture), feed_at_the_end);
    assert_eq!(fixture.distrusted(), 0);
    ages.as_secs_f64() / f64::from(decisions)
}

#[tokio::test(start_paused = true)]
async fn answers_are_as_old_as_a_list_that_lags_behind_others() {
    let unordered: fn(&mut Quirks) = |quirks| quirks.ordering = Ordering::Off;
    let neither: fn(&mut Quirks) = |quirks| {
        (quirks.ordering, quirks.status_filter_ignored) = (Ordering::Off, true);
    };
    for (feed, quirks) in [
        (Feed::Delta, (|_| {}) as fn(&mut Quirks)),
        (Feed::Available, unordered),
        (Feed::Sweep, neither),
    ] {
        let honest = lived_behind(Duration::ZERO, quirks, feed).await;
        let behind = lived_behind(4 * SECOND, quirks, feed).await;
        // The board is as old as the list, and a second more.
        let lag = behind - honest;
        assert!((3.5..6.5).contains(&lag), "{feed:?}: {honest} {behind}");
    }
}

#[tokio::test(start_paused = true)]
async fn lists_without_order_and_filter_are_swept_although_rows_move() {
    for seed in 23..26 {
        let case = Case {
            name: "rows that move between the pages of sweeps",
            quirks: |quirks| {
                quirks.rows_move = true;
                quirks.ordering = Ordering::Off;
                quirks.status_filter_ignored = true;
            },
            feed: Feed::Sweep,
            lines: 2,
            ..HONEST
        };
        lived(&case, seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn parameters_that_are_not_honoured_make_no_status_wrong() {
    let unordered = Case {
        feed: Feed::Available,
        lines: 2,
        ..HONEST
    };
    for case in [
        Case {
            name: "ordering off",
            quirks: |quirks| quirks.ordering = Ordering::Off,
            ..unordered
        },
        Case {
            name: "ascending only",
            quirks: |quirks| quirks.ordering = Ordering::AscendingOnly,
            ..unordered
        },
        Case {
            name: "wrong field",
            quirks: |quirks| quirks.ordering = Ordering::WrongField,
            ..unordered
        },
        Case {
            name: "filter off",
            quirks: |quirks| quirks.status_filter_ignored = true,
            ..HONEST
        },
        Case {
            name: "the whole list at once",
            quirks: |quirks| quirks.page_size_max = PageSizeMax::Whole,
            feed: Feed::Sweep,
            ..HONEST
        },
    ] {
        lived(&case, 22).await;
    }
}

#[tokio::test(start_paused = true)]
async fn changes_without_a_date_end_the_trust_in_changes() {
    let undated = Case {
        found_within: 3 * MINUTE,
        feed: Feed::Available,
        lines: 3,
        ..HONEST
    };
    for case in [
        Case {
            name: "a third without a date, first",
            quirks: |quirks| quirks.undated_percent = 30,
            ..undated
        },
        Case {
            name: "a third without a date, last",
            quirks: |quirks| (quirks.undated_percent, quirks.nulls) = (30, NullOrder::Smallest),
            ..undated
        },
        Case {
            name: "more pages without a date than are read",
            quirks: |quirks| quirks.undated_percent = 85,
            ..undated
        },
        Case {
            // The lists of available agents are checked by dates as well.
            name: "dates that stand still",
            quirks: |quirks| quirks.still_dates_percent = 30,
            feed: Feed::Sweep,
            lines: 4,
            ..undated
        },
    ] {
        lived(&case, 24).await;
    }
}

/// Returns whether an answer is a page of the list of changes.
fn is_of_changes(path: &str) -> bool {
    path.contains("ordering=")
}

fn delete_who_changed_last(fixture: &Fixture) {
    fixture.simulator.world(|world| {
        let agents = world.agents();
        let stays = world.stays().filter(|(id, ..)| agents.contains(id));
        let last = stays.max_by_key(|(.., since)| *since);
        let id = last.unwrap().0.clone();
        world.remove_agent(&id);
    });
}

#[tokio::test(start_paused = true)]
async fn agents_who_are_missing_from_the_list_of_changes_are_noticed() {
    for case in [
        Case {
            name: "one agent is omitted for ever",
            lie: Some(omit_one),
            each_minute: |fixture, minute| {
                let name = ["Available", "Not Available"][minute as usize % 2];
                let status = fixture.status(name);
                let omitted = |world: &World| {
                    let agents = world.agents().into_iter();
                    let mut agents = agents.filter_map(|id| world.agent(&id));
                    agents.find(|agent| agent.number == 31_007).unwrap().id
                };
                fixture
                    .simulator
                    .world(|world| world.set_status(&omitted(world), status));
            },
            found_within: 5 * MINUTE,
            feed: Feed::Available,
            lines: 3,
            ..HONEST
        },
        Case {
            name: "now and then an agent is deleted",
            each_minute: |fixture, minute| {
                if (3..18).contains(&minute) {
                    delete_who_changed_last(fixture);
                }
            },
            ..HONEST
        },
    ] {
        lived(&case, 25).await;
    }
}

/// Omits one agent from the list of changes.
fn omit_one(path: &str, answer: &mut Result<Reply, Fault>) {
    if is_of_changes(path) {
        edit(answer, |body| {
            let rows = body["results"].as_array_mut().unwrap();
            rows.retain(|row| row["extension"] != "1007");
        });
    }
}

/// Changes the status of an agent whom the list of changes omits every five minutes, until the board shows a change that the list has missed. It must
/// not be given up before. The list omits the agent after this many seconds. Returns the agent.
async fn until_a_miss(seed: u64, omits_after: u64) -> (Fixture, AgentId) {
    let mut setting = large(seed);
    // Three of them reach back by some two minutes.
    setting.page_limit = NonZeroUsize::new(100);
    setting.world.mean_idle = 40 * SECOND;
    let fixture = setting.start();
    let omitted = fixture.simulator.world(|world| {
        let mut agents = world.agents().into_iter();
        agents.find(|id| world.agent(id).unwrap().number == 31_007)
    });
    let omitted = omitted.unwrap();
    let (mut known, mut was_used) = (None, false);
    for second in 0..30 * 60 {
        if second == omits_after {
            lie(&fixture, Some(omit_one));
        }
        if second % 300 == 0 {
            let name = ["Available", "Not Available"][(second / 300) as usize % 2];
            let status = fixture.status(name);
            fixture
                .simulator
                .world(|world| world.set_status(&omitted, status));
        }
        sleep(SECOND).await;
        let is_used = feed(&fixture) == Feed::Delta;
        let snapshots = fixture
            .places()
            .filter_map(|place| fixture.state(place).snapshot.clone());
        let agents = snapshots.flat_map(|snapshot| snapshot.agents.to_vec());
        let row = agents.into_iter().find(|row| row.id == omitted);
        let date = row.and_then(|row| row.status_since);
        // The list may still show what has changed just now.
        let is_due = |date: Timestamp| {
            let since = fixture.clock.now().timestamp().duration_since(date);
            since > SignedDuration::from_secs(15)
        };
        let is_missed = date > known && date.is_some_and(is_due);
        if was_used && is_missed {
            return (fixture, omitted);
        }
        assert!(is_used || !was_used, "seed {seed}, {second} s");
        (known, was_used) = (date, is_used);
    }
    panic!("seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn the_list_of_changes_is_given_up_within_three_minutes_of_a_change_that_it_was_seen_to_miss()
{
    for seed in [27, 31, 32] {
        let (logged, _guard) = listen();
        let (fixture, _) = until_a_miss(seed, 0).await;
        for second in 0.. {
            if feed(&fixture) != Feed::Delta {
                break;
            }
            assert!(second < 180, "seed {seed}");
            sleep(SECOND).await;
        }
        let lines = feed_lines(&logged);
        let is_why = |line: &String| line.contains("omits agents");
        assert!(lines.iter().any(is_why), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_who_is_deleted_after_a_missed_change_does_not_end_the_trust_in_changes() {
    for seed in [27, 31, 32] {
        // The list was right until this change.
        let (fixture, omitted) = until_a_miss(seed, 600).await;
        fixture
            .simulator
            .world(|world| world.remove_agent(&omitted));
        for second in 0..300 {
            assert_eq!(feed(&fixture), Feed::Delta, "seed {seed}, {second} s");
            sleep(SECOND).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rows_of_feeds_that_cannot_be_read_are_counted() {
    let fixture = large(29).start();
    sleep(5 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Delta);
    lie(
        &fixture,
        Some(|path, answer| {
            if is_sweep(path) {
                edit(answer, |body| {
                    let rows = body["results"].as_array_mut().unwrap();
                    // One bad row in a short list would be a fault.
                    if rows.len() > 20 {
                        rows[3] = json!("no row");
                    }
                });
            }
        }),
    );
    sleep(5 * MINUTE).await;
    let text = fixture.metrics.render(Scrape::default(), Format::Text);
    for feed in ["delta", "available", "sweep"] {
        let name = format!("openseat_feed_skipped_rows_total{{account=\"main\",feed=\"{feed}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&*name));
        assert!(value.is_some_and(|value| value != "0"), "{feed}: {value:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_floor_that_changes_too_fast_is_not_read_by_its_changes() {
    let case = Case {
        name: "too fast",
        world: |world| {
            world.mean_idle = SECOND;
            world.mean_call = 24 * SECOND;
            world.mean_wrap_up = 6 * SECOND;
        },
        page_limit: 20,
        feed: Feed::Available,
        lines: 5,
        ..HONEST
    };
    lived(&case, 26).await;
}

/// Logs twenty members in to a queue or out of it.
fn flip_log_ins(fixture: &Fixture, minute: u64) {
    if !(3..10).contains(&minute) {
        return;
    }
    fixture.simulator.world(|world| {
        let agents = world.agents().into_iter();
        for id in agents.skip(minute as usize).step_by(13) {
            let (queue, logged_in) = world.agent(&id).unwrap().queues[0];
            world.set_logged_in(queue, &id, !logged_in);
        }
    });
}

#[tokio::test(start_paused = true)]
async fn log_ins_that_change_without_a_date_come_from_polls() {
    let case = Case {
        name: "log-ins",
        each_minute: flip_log_ins,
        ..HONEST
    };
    let fixture = lived(&case, 27).await;
    // Each queue has its turn.
    sleep(10 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Delta);
    for place in fixture.places() {
        let snapshot = fixture.state(place).snapshot.clone().unwrap();
        for row in snapshot.agents.iter() {
            let agent = fixture.simulator.world(|world| world.agent(&row.id));
            let of_queue = (fixture.ids[place], row.queue_logged_in);
            let is_true = agent.unwrap().queues.contains(&of_queue);
            assert!(is_true, "{place}: {} {}", row.id, row.queue_logged_in);
        }
    }
    fixture.assert_true();
}
