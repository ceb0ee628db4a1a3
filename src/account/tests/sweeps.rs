//! Tests sweeps: what they renew, and when they lose trust.

use super::*;
use crate::account::feeds::Feed;

#[tokio::test(start_paused = true)]
async fn a_change_anywhere_is_on_the_board_of_all_queues_within_two_sweeps() {
    let fixture = still(20, 60).start();
    sleep(2 * MINUTE).await;
    let (agent, places) = fixture.busy_agent();
    for status in ["Available", "Not Available", "Available"] {
        let status = fixture.status(status);
        fixture
            .simulator
            .world(|world| world.set_status(&agent, status));
        sleep(fixture.between_sweeps() * 2 + SECOND).await;
        let available = fixture
            .simulator
            .world(|world| world.agent(&agent).unwrap().available);
        for place in &places {
            assert_eq!(fixture.shows(*place, &agent), Some(available));
        }
        fixture.assert_true();
    }
}

#[tokio::test(start_paused = true)]
async fn statuses_are_seconds_old_while_memberships_grow_minutes_old() {
    let fixture = Setting::new(WorldSettings {
        queues: 20,
        agents: 60,
        ..WorldSettings::study()
    })
    .start();
    sleep(5 * MINUTE).await;
    let (mut oldest, mut oldest_members) = (Duration::ZERO, Duration::ZERO);
    fixture
        .watch(5 * MINUTE, |fixture| {
            for place in fixture.places() {
                let decision = fixture.decide(place);
                oldest = oldest.max(decision.age.unwrap());
                oldest_members = oldest_members.max(decision.membership_age.unwrap());
            }
        })
        .await;
    assert!(oldest < fixture.between_sweeps() + 3 * SECOND, "{oldest:?}");
    let turn = fixture.budget.usual_period() * 4 * 20;
    assert!(
        oldest_members > turn / 2 && oldest_members < turn * 2,
        "{oldest_members:?} of {turn:?}"
    );
    assert_eq!(fixture.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lively_account_is_never_distrusted() {
    for seed in 1..3 {
        let world = WorldSettings {
            seed,
            queues: 20,
            agents: 60,
            ..WorldSettings::study()
        };
        let fixture = Setting::new(world).start();
        sleep(20 * MINUTE).await;
        assert_eq!(fixture.distrusted(), 0, "seed {seed}");
        assert!(fixture.simulator.worst_sliding_hour() <= 1000);
    }
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_are_refused_are_given_up_for_an_hour() {
    for quirk in [SweepQuirk::Forbidden, SweepQuirk::NotFound] {
        let mut setting = still(20, 60);
        setting.sweep = quirk;
        let fixture = setting.start();
        sleep(MINUTE).await;
        assert_eq!(
            (fixture.sweeps_sent(), fixture.distrusted()),
            (1, 1),
            "{quirk:?}"
        );
        fixture
            .watch(50 * MINUTE, |fixture| {
                fixture.assert_all_known();
                fixture.assert_true()
            })
            .await;
        assert_eq!(
            (fixture.sweeps_sent(), fixture.distrusted()),
            (0, 1),
            "distrusted once"
        );
        // Polls have the whole budget meanwhile.
        assert_eq!(
            fixture.state(0).planned_max_age,
            fixture.budget.usual_period() * 20 * 3
        );
        fixture
            .simulator
            .quirks(|quirks| quirks.sweep = SweepQuirk::Whole);
        sleep(15 * MINUTE).await;
        assert!(fixture.sweeps_sent() > 30, "tried again, and used");
        assert_eq!(fixture.distrusted(), 1);
        assert_eq!(fixture.state(0).planned_max_age, MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_list_is_noticed_before_any_of_it_is_used() {
    let mut setting = still(20, 60);
    setting.sweep = SweepQuirk::Stale;
    let fixture = setting.start();
    let ready = fixture.status("Available");
    fixture.simulator.world(|world| world.set_everyone(ready));
    fixture.watch(50 * MINUTE, Fixture::assert_true).await;
    assert_eq!((fixture.distrusted(), fixture.sweeps_sent()), (1, 1));
    fixture.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn a_list_that_hides_those_who_are_available_is_noticed_where_they_are_few() {
    for (queues, agents) in [(6, 120), (12, 600)] {
        let mut setting = Setting::new(WorldSettings {
            queues,
            agents,
            ..WorldSettings::lively()
        });
        setting.sweep = SweepQuirk::Stale;
        let fixture = setting.start();
        sleep(10 * MINUTE).await;
        assert_eq!(fixture.distrusted(), 1, "{queues} queues");
        assert!(!fixture.health.borrow().sweeps);
    }
}

#[tokio::test(start_paused = true)]
async fn polls_reveal_a_list_that_becomes_stale_later() {
    let fixture = still(20, 60).start();
    let ready = fixture.status("Available");
    fixture.simulator.world(|world| world.set_everyone(ready));
    sleep(10 * MINUTE).await;
    assert_eq!(fixture.distrusted(), 0);
    fixture
        .simulator
        .quirks(|quirks| quirks.sweep = SweepQuirk::Stale);
    sleep(3 * MINUTE).await;
    assert_eq!(fixture.distrusted(), 1);
    fixture.watch(10 * MINUTE, Fixture::assert_true).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_omits_agents_is_noticed() {
    let mut setting = still(10, 60);
    setting.sweep = SweepQuirk::Partial;
    let fixture = setting.start();
    fixture.watch(50 * MINUTE, Fixture::assert_true).await;
    assert_eq!(fixture.distrusted(), 1);
    fixture.assert_all_known();
    fixture.sent();
    fixture.watch(5 * MINUTE, Fixture::assert_true).await;
    assert_eq!(fixture.sweeps_sent(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_agent_who_leaves_the_account_causes_no_distrust_and_is_soon_forgotten() {
    let fixture = still(20, 60).start();
    sleep(5 * MINUTE).await;
    let (agent, places) = fixture.busy_agent();
    fixture.simulator.world(|world| world.remove_agent(&agent));
    // One queue slot for each of their queues, and one for a poll under way.
    sleep(fixture.budget.usual_period() * 4 * (places.len() as u32 + 2)).await;
    assert!(
        places
            .iter()
            .all(|place| fixture.shows(*place, &agent).is_none())
    );
    fixture
        .watch(10 * MINUTE, |fixture| {
            fixture.assert_all_known();
            fixture.assert_true()
        })
        .await;
    assert_eq!(fixture.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_keep_failing_while_polls_succeed_are_given_up() {
    let fixture = still(30, 60).start();
    sleep(5 * MINUTE).await;
    fixture.fail(is_sweep, Fault::down(Down::ServerError, "502"));
    sleep(4 * MINUTE).await;
    assert_eq!(fixture.distrusted(), 1);
    fixture.watch(10 * MINUTE, Fixture::assert_all_known).await;
}

/// Returns a page of strangers, with a link to the next page.
fn strangers(page: u32) -> Value {
    let row =
        |n| json!({"app_user": format!("{page}-{n}"), "status": "Available", "logged_in": true});
    let rows: Vec<_> = (0..20).map(row).collect();
    json!({"count": i64::MAX, "next": format!("?page={}", page + 1), "results": rows})
}

/// Returns a page without agents, although the count says otherwise.
fn nobody(_: u32) -> Value {
    json!({"count": 300, "next": null, "results": []})
}

#[tokio::test(start_paused = true)]
async fn a_sweep_without_end_or_without_anybody_is_given_up() {
    // With few queues, reading half as many pages costs more than polling, so further pages are only read to try other lists. The maximum length
    // of any list ends the sweep.
    for (body, queues, pages, distrusted) in [
        (strangers as Body, 40, 100, 1),
        (strangers, 400, 100, 1),
        (nobody, 40, 30, 1),
    ] {
        let fixture = still(queues, 300).start();
        *fixture.wire.sweeps.lock().unwrap() = Some(body);
        fixture.watch(15 * MINUTE, |_| ()).await;
        let sent = fixture.sent();
        let others = ["ordering=", "page_size=max"];
        let is_full =
            |path: &&String| is_sweep(path) && !others.iter().any(|other| path.contains(other));
        let sweeps = sent.iter().filter(is_full).count();
        let deltas = sent
            .iter()
            .filter(|path| path.contains("ordering="))
            .count();
        assert_eq!(
            fixture.distrusted(),
            distrusted,
            "{queues} queues, {sweeps} pages"
        );
        assert!(sweeps <= pages, "{queues} queues: {sweeps} pages");
        // The list of changes is tried between the pages of a sweep, and never takes more requests than these.
        assert!(deltas <= sweeps, "{queues} queues: {deltas} of {sweeps}");
        fixture.assert_true();
    }
}

#[tokio::test(start_paused = true)]
async fn criteria_see_joined_rows_only_if_sweeps_have_what_they_read() {
    let mut setting = still(20, 60);
    setting.rules = vec![
        custom("$.results[?@.status=='Available' && @.queue_logged_in==true]"),
        custom("$.results[?@.status=='Available' && @.team]"),
    ];
    let fixture = setting.start();
    let ready = fixture.status("Available");
    sleep(10 * MINUTE).await;
    let snapshot = |place: usize| fixture.state(place).snapshot.clone().unwrap();
    fixture.simulator.world(|world| world.set_everyone(ready));
    let polled = snapshot(18).members_as_of;
    sleep(fixture.between_sweeps() * 2 + SECOND).await;
    let count = |place| fixture.decide(place).count.unwrap();
    assert_eq!(count(18), fixture.seats(18), "joined, …");
    assert_eq!(snapshot(18).members_as_of, polled, "… and not polled");
    fixture
        .watch(10 * MINUTE, |fixture| {
            let own = fixture.state(19).snapshot.clone().unwrap();
            assert_eq!(
                own.as_of, own.members_as_of,
                "renewed by its own polls alone"
            );
        })
        .await;
    let own = snapshot(19);
    assert_eq!(
        fixture
            .state(19)
            .last_success
            .map(|at| at.longest_since(own.as_of) < SECOND * 5),
        Some(true)
    );
    fixture.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn no_queue_is_too_old_when_a_better_feed_replaces_a_long_list() {
    let mut setting = super::feeds::large(5);
    // The full list takes eleven requests, and so nearly two minutes.
    setting.page_limit = NonZeroUsize::new(25);
    let fixture = setting.start();
    let mut known = vec![false; fixture.keys.len()];
    let mut feeds = Vec::new();
    for second in 0..6 * 60 {
        sleep(SECOND).await;
        let feed = super::feeds::feed(&fixture);
        if feeds.last() != Some(&feed) {
            feeds.push(feed);
        }
        for place in fixture.places() {
            let decision = fixture.decide(place);
            known[place] |= decision.reason.is_known();
            let is_lost = known[place] && !decision.reason.is_known();
            assert!(!is_lost, "{place}, {second} s, {feeds:?}: {decision:?}");
        }
    }
    assert!(known.iter().all(|known| *known));
    assert!(feeds.ends_with(&[Feed::Delta]), "{feeds:?}");
}
