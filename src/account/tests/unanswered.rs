//! Tests what happens when the list in use, and no other, cannot be read.

use super::{
    feeds::{feed, large},
    *,
};
use crate::{
    account::feeds::{Feed, Standing},
    logged::listen,
    simulator::{Ordering as SimulatedOrdering, PageSizeMax, Quirks},
};

/// A list, as it comes into use.
struct List {
    feed: Feed,
    quirks: fn(&mut Quirks),
    /// Which paths are its.
    has: Paths,
    /// Where statuses come from instead.
    instead: Feed,
    /// For how long its requests may fail before it is suspended.
    within: Duration,
}

fn is_unordered(quirks: &mut Quirks) {
    quirks.ordering = SimulatedOrdering::Off;
}

fn lists() -> [List; 4] {
    [
        List {
            feed: Feed::Delta,
            quirks: |_| {},
            has: |path| path.contains("ordering="),
            instead: Feed::Available,
            within: MINUTE * 3 / 4,
        },
        List {
            feed: Feed::Available,
            quirks: is_unordered,
            has: |path| path.contains("agent_status="),
            instead: Feed::Sweep,
            within: MINUTE * 3 / 4,
        },
        List {
            feed: Feed::Sweep,
            quirks: |quirks| {
                is_unordered(quirks);
                quirks.status_filter_ignored = true;
            },
            has: is_sweep,
            instead: Feed::Queues,
            // Four tries, with waits of up to a minute in between, which differ at random.
            within: 3 * MINUTE,
        },
        // In one piece. The pages of the list can still be read, and take more requests than the list of changes.
        List {
            feed: Feed::Sweep,
            quirks: |quirks| quirks.page_size_max = PageSizeMax::Whole,
            has: |path| path.contains("page_size=max"),
            instead: Feed::Delta,
            within: MINUTE * 3 / 4,
        },
    ]
}

/// Returns the sending times of the list's requests, in a time.
async fn tries(fixture: &Fixture, list: &List, time: Duration) -> usize {
    fixture.sent();
    fixture.watch(time, |_| ()).await;
    let sent = fixture.sent();
    sent.iter().filter(|path| (list.has)(path)).count()
}

#[tokio::test(start_paused = true)]
async fn a_list_that_alone_is_not_answered_rests_for_ten_minutes_and_a_refused_one_for_an_hour() {
    let (short, long) = (10 * MINUTE, 60 * MINUTE);
    for (fault, rests, standing) in [
        (
            Fault::down(Down::ServerError, "500"),
            short,
            Standing::Resting,
        ),
        (
            Fault::down(Down::TimeOut, "timed out"),
            short,
            Standing::Resting,
        ),
        (
            Fault::down(Down::NotJson, "not JSON"),
            short,
            Standing::Resting,
        ),
        (
            Fault::down(Down::UnexpectedStatus, "400"),
            long,
            Standing::Distrusted,
        ),
        (Fault::NoPermission, long, Standing::Distrusted),
        (
            Fault::down(Down::NotFound, "404"),
            long,
            Standing::Distrusted,
        ),
    ] {
        for list in lists() {
            let (logged, _guard) = listen();
            let fixture = large(31).start();
            fixture.simulator.quirks(list.quirks);
            sleep(5 * MINUTE).await;
            let told = || format!("{fault:?}, {:?}: {:?}", list.feed, logged.lines());
            assert_eq!(feed(&fixture), list.feed, "{}", told());
            fixture.fail(list.has, fault.clone());
            let began = fixture.clock.now();
            let health = || fixture.health.borrow().clone();
            let is_whole = list.instead == Feed::Delta;
            let is_suspended = |fixture: &Fixture| match is_whole {
                true => logged
                    .lines()
                    .iter()
                    .any(|line| line.contains("a page at a time")),
                false => feed(fixture) != list.feed,
            };
            fixture.until("it is suspended", is_suspended).await;
            let took = fixture.clock.now().longest_since(began);
            assert!(took < list.within, "{took:?}, {}", told());
            if !is_whole {
                let health = health();
                let of_list = health.feeds.iter().find(|one| one.feed == list.feed);
                let of_list = of_list.unwrap();
                assert_eq!(of_list.standing, standing, "{of_list:?}, {}", told());
                let left = of_list.until.unwrap().longest_since(fixture.clock.now());
                assert!(
                    left > rests - 2 * SECOND && left <= rests,
                    "{left:?}, {}",
                    told()
                );
            }
            // Everything stays known, and the list is not asked for until then.
            let rest = match fault {
                Fault::UpstreamDown {
                    kind: Down::ServerError,
                    ..
                } => rests - 5 * SECOND,
                _ => 2 * MINUTE,
            };
            assert_eq!(tries(&fixture, &list, rest).await, 0, "{}", told());
            assert_eq!(feed(&fixture), list.instead, "{}", told());
            fixture.assert_all_known();
            fixture.fail(|_| false, fault.clone());
            // The list of changes takes no fewer requests than the one that is used now.
            if rest > 2 * MINUTE && list.feed != Feed::Delta {
                assert!(tries(&fixture, &list, 5 * MINUTE).await > 0, "{}", told());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_list_loses_its_standing_in_an_outage() {
    for fault in [
        Fault::down(Down::ServerError, "500"),
        Fault::down(Down::TimeOut, "timed out"),
    ] {
        for list in lists() {
            let (logged, _guard) = listen();
            let fixture = large(32).start();
            fixture.simulator.quirks(list.quirks);
            sleep(5 * MINUTE).await;
            for outage in [3, 47, 300] {
                fixture.fail(|_| true, fault.clone());
                sleep(outage * SECOND).await;
                fixture.fail(|_| false, fault.clone());
                let asked = tries(&fixture, &list, 2 * MINUTE).await;
                let told = || format!("{outage} s, {:?}: {:?}", list.feed, logged.lines());
                // After a long outage, a list of changes begins again. Meanwhile, another list may be used that takes no more requests.
                if outage < 120 {
                    assert_eq!(feed(&fixture), list.feed, "{}", told());
                    assert!(asked > 5, "{asked}, {}", told());
                }
                let has_standing = fixture.health.borrow().feeds.iter().all(|one| {
                    one.feed != list.feed
                        || matches!(
                            one.standing,
                            Standing::InUse | Standing::NoGain | Standing::Untried
                        )
                });
                assert!(has_standing, "{}", told());
            }
            assert_eq!(fixture.distrusted(), 0);
        }
    }
}
