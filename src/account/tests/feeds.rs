//! Tests which feed statuses come from, in accounts whose roster has several pages.

use std::collections::HashMap;

use super::*;
use crate::{
    account::feeds::{Feed, Standing},
    decision::soon::rule::Held,
    logged::{Logged, listen},
    simulator::{Ordering as SimulatedOrdering, PageSizeMax, Quirks},
};

/// Returns an account with six pages of agents, and enough queues for sweeps to pay.
pub(super) fn large(seed: u64) -> Setting {
    six_pages(WorldSettings {
        seed,
        queues: 40,
        ..WorldSettings::study()
    })
}

/// Fills six pages with the agents of an account. A page has 50 rows instead of 250, because five times the rows take five times as long.
pub(super) fn six_pages(world: WorldSettings) -> Setting {
    Setting {
        page_limit: NonZeroUsize::new(50),
        ..Setting::new(WorldSettings {
            agents: 260,
            ..world
        })
    }
}

fn with(quirk: impl FnOnce(&mut Quirks), setting: Setting) -> Fixture {
    let fixture = setting.start();
    fixture.simulator.quirks(quirk);
    fixture
}

pub(super) fn feed(fixture: &Fixture) -> Feed {
    fixture.health.borrow().feed
}

/// Returns the standings of delta, available, sweep and queues.
fn standings(fixture: &Fixture) -> Vec<Standing> {
    let health = fixture.health.borrow();
    health.feeds.iter().map(|feed| feed.standing).collect()
}

/// Returns the log lines about feeds.
pub(super) fn feed_lines(logged: &Logged) -> Vec<String> {
    let lines = logged.lines().into_iter();
    lines.filter(|line| line.contains("feed")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_large_roster_is_as_fresh_as_a_small_one() {
    let (logged, _guard) = listen();
    let setting = Setting::new(WorldSettings {
        agents: 1_300,
        ..large(1).world
    });
    let fixture = setting.start();
    sleep(10 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Delta, "{:?}", logged.lines());
    let mut oldest = Duration::ZERO;
    fixture
        .watch(10 * MINUTE, |fixture| {
            for place in fixture.places() {
                let decision = fixture.decide(place);
                assert!(decision.reason.is_known(), "{place}: {decision:?}");
                oldest = oldest.max(decision.age.unwrap());
            }
        })
        .await;
    assert!(oldest < 4 * fixture.budget.usual_period(), "{oldest:?}");
    assert_eq!((feed(&fixture), fixture.distrusted()), (Feed::Delta, 0));
    assert_eq!(feed_lines(&logged).len(), 1, "{:?}", feed_lines(&logged));
    assert!(fixture.simulator.worst_sliding_hour() <= 1000);
}

#[tokio::test(start_paused = true)]
async fn lists_that_are_not_ordered_or_filtered_are_given_up_within_two_sweeps() {
    let off = SimulatedOrdering::Off;
    for (ordering, is_filter_ignored, expected, lines) in [
        (off, false, Feed::Available, 2),
        (SimulatedOrdering::AscendingOnly, false, Feed::Available, 2),
        (SimulatedOrdering::WrongField, false, Feed::Available, 2),
        (SimulatedOrdering::On, true, Feed::Delta, 1),
        (off, true, Feed::Sweep, 2),
    ] {
        let (logged, _guard) = listen();
        let quirk = |quirks: &mut Quirks| {
            quirks.ordering = ordering;
            quirks.status_filter_ignored = is_filter_ignored;
        };
        let fixture = with(quirk, large(2));
        // The first ration of polls, then two sweeps of six pages with a trial between their pages.
        sleep(5 * MINUTE).await;
        assert_eq!(
            feed(&fixture),
            expected,
            "{ordering:?}: {:?}",
            logged.lines()
        );
        sleep(10 * MINUTE).await;
        let logged = feed_lines(&logged);
        assert_eq!(feed(&fixture), expected, "{ordering:?}: {logged:?}");
        assert_eq!(logged.len(), lines, "{ordering:?}: {logged:?}");
        assert_eq!(fixture.distrusted(), 0);
        assert!(fixture.simulator.worst_sliding_hour() <= 1000);
    }
}

#[tokio::test(start_paused = true)]
async fn each_feed_says_why_it_is_not_used() {
    use Standing::*;
    let good: fn(&mut Quirks) = |_| {};
    let unordered: fn(&mut Quirks) = |quirks| quirks.ordering = SimulatedOrdering::Off;
    let unfiltered: fn(&mut Quirks) = |quirks| {
        quirks.ordering = SimulatedOrdering::Off;
        quirks.status_filter_ignored = true;
    };
    let forbidden: fn(&mut Quirks) = |quirks| quirks.sweep = SweepQuirk::Forbidden;
    for (quirk, expected, word) in [
        (good, [InUse, NoGain, NoGain, NoGain], "proved true"),
        (
            unordered,
            [Distrusted, InUse, NoGain, NoGain],
            "not ordered by the date of change",
        ),
        (
            unfiltered,
            [Distrusted, Distrusted, InUse, NoGain],
            "not ordered by the date of change",
        ),
        (
            forbidden,
            [Untried, Untried, Distrusted, InUse],
            "once sweeps of the account are trusted",
        ),
    ] {
        let fixture = with(quirk, large(4));
        sleep(10 * MINUTE).await;
        assert_eq!(
            standings(&fixture),
            expected,
            "{:?}",
            fixture.health.borrow()
        );
        let health = fixture.health.borrow().clone();
        assert!(health.feeds[0].why.contains(word), "{:?}", health.feeds[0]);
        let in_use = health
            .feeds
            .iter()
            .find(|feed| feed.standing == Standing::InUse);
        assert_eq!(in_use.unwrap().feed, health.feed);
        for feed in &health.feeds {
            let until = feed
                .until
                .map(|until| until.longest_since(fixture.clock.now()));
            let is_put_off = feed.standing == Distrusted;
            assert_eq!(until.is_some(), is_put_off, "{feed:?}");
            assert!(until.is_none_or(|until| until > 45 * MINUTE), "{feed:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_account_gains_nothing_and_one_without_sweeps_tries_nothing() {
    use Standing::*;
    let small = || Setting::new(WorldSettings::study());
    let fixture = small().start();
    sleep(5 * MINUTE).await;
    assert_eq!(standings(&fixture), [NoGain, NoGain, InUse, NoGain]);
    let mut setting = small();
    setting.options.sweep = false;
    let fixture = setting.start();
    assert_eq!(
        standings(&fixture),
        [Impossible, Impossible, Impossible, InUse],
        "from the start"
    );
    // A list of available agents does not have what criteria about other statuses read.
    let mut setting = large(5);
    setting.rules = vec![custom("$.results[?@.agent_status == 'Lunch']")];
    let fixture = with(|quirks| quirks.ordering = SimulatedOrdering::Off, setting);
    sleep(10 * MINUTE).await;
    assert_eq!(standings(&fixture), [Distrusted, Impossible, InUse, NoGain]);
}

#[tokio::test(start_paused = true)]
async fn a_list_given_at_once_is_swept_with_one_request() {
    let whole = |quirks: &mut Quirks| quirks.page_size_max = PageSizeMax::Whole;
    let fixture = with(whole, large(7));
    sleep(5 * MINUTE).await;
    assert_eq!(standings(&fixture)[2], Standing::InUse);
    let is_asked = |path: &String| path.contains("page_size=max");
    let sweeps = |fixture: &Fixture| -> (usize, usize) {
        let sent = fixture.sent();
        let at_once = sent.iter().filter(|path| is_asked(path)).count();
        let sweeps = sent.iter().filter(|path| is_sweep(path)).count();
        (at_once, sweeps - at_once)
    };
    sweeps(&fixture);
    let mut oldest = Duration::ZERO;
    fixture
        .watch(5 * MINUTE, |fixture| {
            for place in fixture.places() {
                oldest = oldest.max(fixture.decide(place).age.unwrap());
            }
        })
        .await;
    let (at_once, others) = sweeps(&fixture);
    assert!(at_once > 50 && others == 0, "{at_once} {others}");
    assert!(oldest < 3 * fixture.budget.usual_period(), "{oldest:?}");
    // If it is clipped later, its pages and then a trusted list replace it.
    fixture
        .simulator
        .quirks(|quirks| quirks.page_size_max = PageSizeMax::Clipped);
    fixture.watch(20 * MINUTE, Fixture::assert_all_known).await;
    assert_eq!(feed(&fixture), Feed::Delta);
    assert_eq!((sweeps(&fixture).0, fixture.distrusted()), (1, 0));
    assert!(fixture.simulator.worst_sliding_hour() <= 1000);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_not_given_at_once_is_tried_once() {
    let three_pages = |queues| Setting {
        page_limit: NonZeroUsize::new(50),
        ..Setting::new(WorldSettings {
            queues,
            agents: 120,
            ..WorldSettings::study()
        })
    };
    // With 3 queues a sweep of three pages does not pay, but one of one page does.
    for queues in [20, 3] {
        let fixture = three_pages(queues).start();
        sleep(15 * MINUTE).await;
        let sent = fixture.sent();
        let asked = sent.iter().filter(|path| path.contains("page_size=max"));
        assert_eq!(asked.count(), 1, "{queues} queues");
        fixture.assert_all_known();
    }
    let small = Setting::new(WorldSettings::study()).start();
    sleep(15 * MINUTE).await;
    let sent = small.sent();
    assert!(!sent.iter().any(|path| path.contains("page_size=max")));
}

/// When each agent was last off and on a call in the simulated world.
#[derive(Default)]
struct Calls(HashMap<AgentId, [Option<Duration>; 2]>);

impl Calls {
    fn look(&mut self, fixture: &Fixture, queue: u64) {
        let now = fixture.clock.now().boot;
        let calls = fixture.simulator.world(|world| {
            let agents = world.agents_of(queue).into_iter();
            agents
                .map(|id| (world.agent(&id).unwrap().on_call, id))
                .collect::<Vec<_>>()
        });
        for (on_call, id) in calls {
            self.0.entry(id).or_default()[usize::from(on_call)] = Some(now);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn criteria_on_undated_fields_are_no_fresher_than_their_rows() {
    let mut setting = large(6);
    setting.world.calls_without_status = 60;
    // Both count on every agent of their queue.
    setting.rules = vec![
        custom("$.results[?@.status == 'Available']"),
        custom("$.results[?@.status == 'Available' && @.live_calls_count == 0]"),
    ];
    let fixture = setting.start();
    sleep(20 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Delta);
    let [by_status, by_calls] = [38, 39];
    let (mut calls, mut oldest) = (Calls::default(), [Duration::ZERO; 2]);
    let began = fixture.clock.now().boot;
    fixture
        .watch(10 * MINUTE, |fixture| {
            calls.look(fixture, fixture.ids[by_calls]);
            for (oldest, place) in oldest.iter_mut().zip([by_status, by_calls]) {
                let decision = fixture.decide(place);
                assert!(decision.reason.is_known(), "{place}: {decision:?}");
                *oldest = decision.age.unwrap().max(*oldest);
            }
            let snapshot = fixture.state(by_calls).snapshot.clone().unwrap();
            if snapshot.as_of.boot < began {
                return; // The world was not observed then.
            }
            for agent in snapshot.agents.iter() {
                let last = calls.0[&agent.id][usize::from(agent.on_call)];
                // The world is observed once a second.
                let is_true = last.is_some_and(|last| last + 2 * SECOND >= snapshot.as_of.boot);
                assert!(
                    is_true,
                    "{agent:?} was last so at {last:?}, {:?}",
                    snapshot.as_of
                );
            }
        })
        .await;
    let period = fixture.budget.usual_period();
    assert!(
        oldest[0] < 4 * period,
        "{oldest:?}: fed by the list of changes"
    );
    assert!(oldest[1] > 8 * period, "{oldest:?}: fed by its own polls");
}

#[tokio::test(start_paused = true)]
async fn rows_are_no_older_than_the_snapshot_says() {
    for (ordering, expected) in [
        (SimulatedOrdering::On, Feed::Delta),
        (SimulatedOrdering::Off, Feed::Available),
    ] {
        let mut setting = large(9);
        setting.world.calls_without_status = 60;
        let fixture = with(|quirks| quirks.ordering = ordering, setting);
        let (mut calls, mut oldest, mut lost) = (Calls::default(), Duration::ZERO, 0);
        let began = fixture.clock.now().boot;
        fixture
            .watch(11 * MINUTE, |fixture| {
                calls.look(fixture, fixture.ids[0]);
                let now = fixture.clock.now();
                let Some(snapshot) = fixture.state(0).snapshot.clone() else {
                    return;
                };
                if now.boot < began + 6 * MINUTE {
                    return;
                }
                assert_eq!(feed(fixture), expected);
                assert!(now.longest_since(snapshot.as_of) < 2 * MINUTE);
                oldest = oldest.max(now.longest_since(snapshot.rows_as_of));
                for agent in snapshot.agents.iter() {
                    let has_lost_status = agent.raw.has_lost_status();
                    lost += usize::from(has_lost_status);
                    let read = match has_lost_status {
                        true => snapshot.members_as_of,
                        false => snapshot.rows_as_of,
                    };
                    let last = calls.0[&agent.id][usize::from(agent.on_call)];
                    // The world is observed once a second.
                    let is_true = last.is_some_and(|last| last + 2 * SECOND >= read.boot);
                    assert!(is_true, "{agent:?} was last so at {last:?}, {read:?}");
                }
            })
            .await;
        assert!(
            oldest > 2 * MINUTE,
            "{oldest:?}: lists of everybody are rare"
        );
        assert_eq!(lost > 0, expected == Feed::Available, "{lost}");
    }
}

/// Changes the body of an answer.
pub(super) fn edit(answer: &mut Result<Reply, Fault>, change: impl FnOnce(&mut Value)) {
    let reply = answer.as_mut().unwrap();
    let mut body = serde_json::from_slice(&reply.body).unwrap();
    change(&mut body);
    reply.body = body.to_string().into();
}

/// Ends a list after this many rows, and leaves its count.
fn cut(answer: &mut Result<Reply, Fault>, rows: usize) {
    edit(answer, |body| {
        body["results"].as_array_mut().unwrap().truncate(rows);
        body["next"] = Value::Null;
    });
}

fn fails(answer: &mut Result<Reply, Fault>) {
    *answer = Err(Fault::down(Down::ServerError, "502"));
}

pub(super) fn lie(fixture: &Fixture, lie: Option<Lie>) {
    *fixture.wire.lie.lock().unwrap() = lie;
}

#[tokio::test(start_paused = true)]
async fn one_bad_list_of_available_agents_changes_no_answer() {
    let fixture = with(
        |quirks| quirks.ordering = SimulatedOrdering::Off,
        six_pages(WorldSettings::still(40, 0)),
    );
    sleep(10 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Available);
    for place in fixture.places() {
        let holds = fixture.reservations.queue(&fixture.keys[place]);
        let accept = |_: Held<'_>| Decision {
            accept: true,
            ..fixture.decide(place)
        };
        let call = format!("call-{place}");
        holds.reserve(&call, 10 * MINUTE, fixture.clock.now(), accept);
    }
    let answers = |fixture: &Fixture| -> Vec<_> {
        let decisions = fixture.places().map(|place| fixture.decide(place));
        let answers = decisions.map(|decision| (decision.accept, decision.count));
        answers.collect()
    };
    let before = answers(&fixture);
    assert!(before.iter().any(|(accept, _)| *accept), "{before:?}");
    let lies: [Lie; 4] = [
        |path, answer| {
            if path.contains("agent_status=") {
                cut(answer, 0);
            }
        },
        |path, answer| {
            if path.contains("agent_status=") {
                cut(answer, 20);
            }
        },
        |path, answer| {
            if path.contains("agent_status=") {
                edit(answer, |body| {
                    *body = json!({"count": 0, "next": null, "results": []});
                });
            }
        },
        |path, answer| {
            if path.contains("agent_status=") {
                edit(answer, |body| {
                    body["results"][0] = json!({"full_name": "Nobody"})
                });
            }
        },
    ];
    for one in lies {
        fixture.sent();
        lie(&fixture, Some(one));
        while !fixture
            .sent()
            .iter()
            .any(|path| path.contains("agent_status="))
        {
            sleep(SECOND).await;
        }
        sleep(SECOND).await;
        lie(&fixture, None);
        fixture
            .watch(MINUTE / 2, |fixture| {
                assert_eq!(answers(fixture), before);
                let held = fixture.reservations.list(fixture.clock.now());
                assert_eq!(held.len(), fixture.keys.len());
            })
            .await;
        assert_eq!(feed(&fixture), Feed::Available);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_changes_that_is_cut_short_renews_nothing() {
    let fixture = six_pages(WorldSettings::still(40, 0)).start();
    sleep(10 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Delta);
    lie(
        &fixture,
        Some(|path, answer| {
            if path.contains("ordering=") {
                cut(answer, 20);
            }
        }),
    );
    // Soon after that, another list is used.
    sleep(7 * SECOND).await;
    let ages = fixture.places().map(|place| fixture.decide(place).age);
    let oldest = ages.flatten().max().unwrap();
    assert!(oldest >= 7 * SECOND, "{oldest:?}");
}

/// Returns the longest time in which no request for statuses was sent that `counts`, and the number of the others.
async fn longest_gap(
    fixture: &Fixture,
    time: Duration,
    counts: fn(&str) -> bool,
) -> (Duration, usize) {
    let (mut longest, mut others, mut last) = (Duration::ZERO, 0, fixture.clock.now().boot);
    fixture
        .watch(time, |fixture| {
            let now = fixture.clock.now().boot;
            for path in fixture.sent().iter().filter(|path| is_sweep(path)) {
                match counts(path) {
                    true => last = now,
                    false => others += 1,
                }
            }
            longest = longest.max(now - last);
        })
        .await;
    (longest, others)
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_fails_does_not_hold_up_the_feed_in_use() {
    let fixture = large(8).start();
    lie(
        &fixture,
        Some(|path, answer| {
            if path.contains("ordering=") {
                fails(answer);
            }
        }),
    );
    sleep(MINUTE).await;
    let counts = |path: &str| !path.contains("ordering=");
    let mut failed = 0;
    for part in 0..2 {
        let (gap, trials) = longest_gap(&fixture, 35 * MINUTE, counts).await;
        assert!(gap < 20 * SECOND, "{gap:?}");
        failed += trials;
        assert_eq!(feed(&fixture), Feed::Available);
        let rests = standings(&fixture)[0] == Standing::Resting;
        assert!(rests || part == 1, "the next trial is an hour later");
    }
    assert!((2..=8).contains(&failed), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_cut_short_once_costs_one_reading() {
    let quirk = |quirks: &mut Quirks| {
        quirks.ordering = SimulatedOrdering::Off;
        quirks.status_filter_ignored = true;
    };
    let fixture = with(quirk, large(10));
    sleep(10 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Sweep);
    const PAGE: &str = "agentstatuses/?page_size=250&page=2";
    lie(
        &fixture,
        Some(|path, answer| {
            if path == PAGE {
                edit(answer, |body| {
                    body["results"].as_array_mut().unwrap().truncate(15);
                });
            }
        }),
    );
    fixture.sent();
    while !fixture.sent().iter().any(|path| path == PAGE) {
        sleep(SECOND).await;
    }
    sleep(SECOND).await;
    lie(&fixture, None);
    sleep(10 * MINUTE).await;
    assert_eq!((feed(&fixture), fixture.distrusted()), (Feed::Sweep, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_list_that_is_always_cut_short_is_distrusted_within_minutes() {
    let quirk = |quirks: &mut Quirks| {
        quirks.ordering = SimulatedOrdering::Off;
        quirks.status_filter_ignored = true;
    };
    let fixture = with(quirk, large(10));
    sleep(10 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Sweep);
    lie(
        &fixture,
        Some(|path, answer| {
            if path == "agentstatuses/?page_size=250&page=2" {
                edit(answer, |body| {
                    body["results"].as_array_mut().unwrap().truncate(15);
                });
            }
        }),
    );
    // Each reading of the six pages takes 23 s.
    sleep(3 * MINUTE).await;
    assert_eq!(fixture.distrusted(), 1);
    assert_ne!(feed(&fixture), Feed::Sweep);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_the_full_list_that_always_fails_does_not_hold_up_another_feed() {
    let (logged, _guard) = listen();
    let fixture = large(9).start();
    sleep(10 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Delta);
    lie(
        &fixture,
        Some(|path, answer| {
            if path == "agentstatuses/?page_size=250&page=3" {
                fails(answer);
            }
        }),
    );
    fixture.sent();
    let counts = |path: &str| path.contains("ordering=");
    let (gap, full_pages) = longest_gap(&fixture, 15 * MINUTE, counts).await;
    assert!(gap < 20 * SECOND, "{gap:?}");
    assert!(full_pages >= 5, "{full_pages}");
    assert_eq!((feed(&fixture), fixture.distrusted()), (Feed::Delta, 0));
    let lines = logged.lines().into_iter();
    let lines = lines.filter(|line| line.contains("cannot be read"));
    assert_eq!(lines.count(), 1, "{:?}", logged.lines());
}

#[tokio::test(start_paused = true)]
async fn a_list_of_changes_that_was_distrusted_is_used_again_once_it_is_in_order() {
    let (logged, _guard) = listen();
    // The available agents take more than a page, so the list of changes is worth a trial.
    let world = WorldSettings {
        mean_idle: 4 * MINUTE,
        ..WorldSettings::still(40, 130)
    };
    let quirk = |quirks: &mut Quirks| quirks.ordering = SimulatedOrdering::Off;
    let setting = Setting {
        page_limit: NonZeroUsize::new(25),
        ..Setting::new(world)
    };
    let fixture = with(quirk, setting);
    let until = || {
        let delta = fixture.health.borrow().feeds[0].clone();
        assert_eq!(delta.standing, Standing::Distrusted);
        assert_eq!(delta.why, "the list is not ordered by the date of change");
        delta.until.unwrap().boot
    };
    let changes = || {
        let sent = fixture.sent().into_iter();
        sent.filter(|path| path.contains("ordering=")).count()
    };
    let began = fixture.clock.now().boot;
    sleep(10 * MINUTE).await;
    let first = until();
    assert!(first < began + 63 * MINUTE, "an hour after the first trial");
    changes();
    sleep(first - MINUTE - fixture.clock.now().boot).await;
    assert_eq!(changes(), 0);
    // The first trial shows that nothing has changed.
    sleep(6 * MINUTE).await;
    assert_eq!(changes(), 1, "{:?}", standings(&fixture));
    let second = until();
    assert!((59 * MINUTE..65 * MINUTE).contains(&(second - first)));
    fixture
        .simulator
        .quirks(|quirks| quirks.ordering = SimulatedOrdering::On);
    sleep(second - MINUTE - fixture.clock.now().boot).await;
    assert_eq!(feed(&fixture), Feed::Available);
    sleep(10 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Delta, "{:?}", standings(&fixture));
    // Two trials, and two feeds in use.
    assert_eq!(feed_lines(&logged).len(), 4, "{:?}", feed_lines(&logged));
    assert!(fixture.simulator.worst_sliding_hour() <= 1000);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_changes_that_was_too_long_is_used_again_ten_minutes_later() {
    let mut setting = large(12);
    setting.page_limit = NonZeroUsize::new(20);
    setting.world.mean_call = 24 * SECOND;
    setting.world.mean_wrap_up = 6 * SECOND;
    let fixture = setting.start();
    sleep(5 * MINUTE).await;
    let delta = fixture.health.borrow().feeds[0].clone();
    assert_eq!(delta.standing, Standing::Resting);
    fixture.simulator.world(|world| {
        world.change_behaviour(|settings| {
            (settings.mean_idle, settings.mean_call) = (5 * MINUTE, 5 * MINUTE);
        });
    });
    let second = "agentstatuses/?page_size=18&page=2&ordering=";
    let sent = fixture.sent();
    assert!(sent.iter().any(|path| path.contains(second)), "{sent:?}");
    let rest = delta.until.unwrap().boot - fixture.clock.now().boot;
    assert!((5 * MINUTE..10 * MINUTE).contains(&rest), "{rest:?}");
    sleep(rest).await;
    let sent = fixture.sent();
    assert!(!sent.iter().any(|path| path.contains("ordering=")));
    sleep(5 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Delta, "{:?}", standings(&fixture));
}

/// Answers requests for the list of changes, and for lists of available agents, with this status.
fn refuse(status: StatusCode, path: &str, answer: &mut Result<Reply, Fault>) {
    if path.contains("ordering=") || path.contains("agent_status=") {
        let reply = answer.as_mut().unwrap();
        reply.status = status;
        reply.body = r#"{"detail": "no"}"#.into();
    }
}

#[tokio::test(start_paused = true)]
async fn lists_that_calltools_refuses_are_tried_again_an_hour_later() {
    let refusals: [Lie; 2] = [
        |path, answer| refuse(StatusCode::FORBIDDEN, path, answer),
        |path, answer| refuse(StatusCode::BAD_REQUEST, path, answer),
    ];
    for refusal in refusals {
        let (logged, _guard) = listen();
        let fixture = large(13).start();
        lie(&fixture, Some(refusal));
        sleep(10 * MINUTE).await;
        let health = fixture.health.borrow().clone();
        for refused in &health.feeds[..2] {
            assert_eq!(refused.standing, Standing::Distrusted, "{refused:?}");
            assert_eq!(refused.why, "CallTools refuses the request");
            let left = refused.until.unwrap().boot - fixture.clock.now().boot;
            assert!((50 * MINUTE..60 * MINUTE).contains(&left), "{left:?}");
        }
        assert_eq!((feed(&fixture), fixture.distrusted()), (Feed::Sweep, 0));
        fixture.assert_all_known();
        let sent = fixture.sent();
        let others = ["ordering=", "agent_status="];
        let tried = others.map(|one| sent.iter().filter(|path| path.contains(one)).count());
        assert_eq!(tried, [1, 1], "{:?}", feed_lines(&logged));
    }
}
