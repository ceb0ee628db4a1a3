//! Tests failures of CallTools: what becomes unknown, and when it is known again.

use std::collections::HashSet;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_queue_becomes_unknown_once_its_own_polls_have_failed_for_max_age() {
    let fixture = still(20, 60).start();
    sleep(5 * MINUTE).await;
    fixture
        .simulator
        .world(|world| world.remove_queue(fixture.ids[7]));
    let (mut known_until, mut failing_since) = (None, None);
    fixture
        .watch(20 * MINUTE, |fixture| {
            let (state, decision, now) = (fixture.state(7), fixture.decide(7), fixture.clock.now());
            if state.fault.is_some() {
                failing_since.get_or_insert(now);
            }
            let failing = failing_since.map(|since| now.longest_since(since));
            fixture.assert_coherent(7);
            if decision.reason.is_known() {
                assert!(known_until.is_none(), "the queue became known again");
                // Data from before the failures may be used until max_age.
                assert!(
                    failing.is_none_or(|failing| failing <= MINUTE + SECOND),
                    "{failing:?}"
                );
            } else {
                known_until.get_or_insert(now);
                assert_eq!(decision.reason, Reason::NoSuchQueue);
                assert!(failing.unwrap() > MINUTE - fixture.between_sweeps() - SECOND);
            }
            for place in fixture.places().filter(|place| *place != 7) {
                assert!(fixture.decide(place).reason.is_known(), "{place}");
            }
        })
        .await;
    assert!(known_until.is_some(), "the queue never became unknown");
    assert_eq!(fixture.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_single_failure_makes_nothing_unknown() {
    let fixture = still(30, 60).start();
    sleep(5 * MINUTE).await;
    fixture
        .simulator
        .inject(3, None, InjectedFault::WebPage(502));
    fixture.watch(5 * MINUTE, Fixture::assert_all_known).await;
    assert_eq!(fixture.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_everything_is_known_again_at_once() {
    let fixture = still(30, 60).start();
    sleep(10 * MINUTE).await;
    fixture
        .simulator
        .inject(usize::MAX, None, InjectedFault::WebPage(502));
    sleep(10 * MINUTE).await;
    assert!(
        fixture
            .places()
            .all(|place| fixture.decide(place).reason == Reason::UpstreamDown
                || fixture.decide(place).reason == Reason::TooOld)
    );
    fixture.simulator.clear_faults();
    // The longest backoff, and a sweep.
    sleep(MINUTE + fixture.between_sweeps() * 2).await;
    fixture.watch(5 * MINUTE, Fixture::assert_all_known).await;
    assert_eq!(
        fixture.distrusted(),
        0,
        "an outage is no reason to distrust sweeps"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pause_requested_by_calltools_ends_for_all_queues_together() {
    let fixture = still(30, 60).start();
    sleep(10 * MINUTE).await;
    fixture
        .simulator
        .inject(1, None, InjectedFault::Throttled(Some(90 * SECOND)));
    sleep(85 * SECOND).await;
    assert_eq!(fixture.decide(0).reason, Reason::Throttled);
    sleep(30 * SECOND).await;
    fixture.watch(5 * MINUTE, Fixture::assert_all_known).await;
}

#[tokio::test(start_paused = true)]
async fn lists_that_all_become_empty_are_logged_once_and_shown() {
    let (logged, _guard) = crate::logged::listen();
    let fixture = still(10, 40).start();
    sleep(5 * MINUTE).await;
    assert_eq!(fixture.health.borrow().emptied, None);
    let members: Vec<_> = fixture.simulator.world(|world| {
        let queues = world.queues().iter().map(|queue| queue.id);
        let queues: Vec<_> = queues.collect();
        let members = queues
            .into_iter()
            .map(|queue| (queue, world.agents_of(queue)));
        members.collect()
    });
    let people: std::collections::HashSet<_> =
        members.iter().flat_map(|(_, agents)| agents).collect();
    let begin = fixture.clock.now();
    fixture.simulator.world(|world| {
        for (queue, agents) in &members {
            for agent in agents {
                world.leave_queue(*queue, agent);
            }
        }
    });
    sleep(20 * MINUTE).await;
    let emptied = fixture.health.borrow().emptied.expect("all is empty");
    assert_eq!(emptied.agents_before, people.len());
    assert!(emptied.since.boot >= begin.boot);
    let count = |text: &str| {
        let lines = logged.lines();
        lines.iter().filter(|line| line.contains(text)).count()
    };
    assert_eq!(count("list of agents is empty"), 1);
    let (queue, agents) = &members[3];
    let name = format!("{}", agents[0]);
    fixture
        .simulator
        .world(|world| world.add_agent(&name, &[*queue]));
    sleep(10 * MINUTE).await;
    assert_eq!(fixture.health.borrow().emptied, None);
    assert_eq!(count("there are agents in the queues again"), 1);
    assert_eq!(count("list of agents is empty"), 1);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_queues_without_data_come_before_all_others() {
    for ends_with_a_pause in [false, true] {
        let fixture = still(60, 120).start();
        // The cold start takes longer.
        sleep(MINUTE).await;
        fixture
            .simulator
            .inject(usize::MAX, None, InjectedFault::WebPage(502));
        sleep(4 * MINUTE).await;
        let is_unknown = |place: &usize| fixture.state(*place).snapshot.is_none();
        let unknown: HashSet<_> = fixture.places().filter(is_unknown).collect();
        assert!((5..20).contains(&unknown.len()), "{unknown:?}");
        fixture.simulator.clear_faults();
        if ends_with_a_pause {
            let pause = InjectedFault::Throttled(Some(20 * SECOND));
            fixture.simulator.inject(1, None, pause);
        }
        fixture.sent();
        // The longest backoff, the pause and a sweep.
        sleep(2 * MINUTE).await;
        fixture.assert_all_known();
        let sent = fixture.sent();
        let polled = |path: &String| {
            let is_of = |id: &u64| path.contains(&format!("queue={id}&"));
            fixture.ids.iter().position(is_of)
        };
        let polled: Vec<_> = sent.iter().filter_map(polled).collect();
        let (mut seen, mut first) = (HashSet::new(), Vec::new());
        for place in polled {
            if first.len() < unknown.len() && seen.insert(place) {
                first.push(place);
            }
        }
        let is_known = |place: &&usize| !unknown.contains(place);
        // Nothing shows that the outage is over before the first of these polls is answered, so that one may be of any queue.
        let rest = first.iter().skip(1);
        assert_eq!(rest.filter(is_known).count(), 0, "{first:?}");
    }
}
