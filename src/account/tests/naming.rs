//! Queues that are renamed, exchanged, made and deleted while they are polled by name, and statuses that change what they do.

use super::*;
use crate::{
    decision::board::NotOnBoard,
    logged::listen,
    model::fault::NoSuchQueue,
    simulator::{Endpoint, ForeignQueue, QueueAction},
};

/// A look at names every half hour, and a poll of each queue after it.
const HALF_AN_HOUR: Duration = Duration::from_secs(31 * 60);

fn named(queues: usize, agents: usize) -> Setting {
    Setting {
        by_name: true,
        ..still(queues, agents)
    }
}

impl Stage {
    fn look_ups(&self) -> u64 {
        self.simulator.requests_to(Endpoint::Queues)
    }

    fn rename(&self, id: u64, name: &str) {
        assert!(self.simulator.world(|world| world.rename_queue(id, name)));
    }

    fn name(&self, place: usize) -> &str {
        &self.keys[place].queue
    }

    fn exchange(&self) {
        self.rename(self.ids[0], self.name(1));
        self.rename(self.ids[1], self.name(0));
    }

    /// The answer about a queue of the config is about this one of CallTools, and about its people.
    fn assert_is(&self, place: usize, id: u64) {
        let state = self.state(place);
        assert_eq!(state.id, Some(id), "{place}");
        let snapshot = state.snapshot.as_ref().expect("it is known");
        let mut shown: Vec<_> = snapshot
            .agents
            .iter()
            .map(|agent| agent.id.0.clone())
            .collect();
        let mut true_ones: Vec<_> = self
            .simulator
            .world(|world| world.agents_of(id))
            .into_iter()
            .map(|agent| agent.0)
            .collect();
        shown.sort();
        true_ones.sort();
        assert_eq!(shown, true_ones, "{place}");
    }

    fn why(&self, place: usize) -> Option<NoSuchQueue> {
        match self.state(place).fault.as_deref() {
            Some(Fault::NoSuchQueue(why)) => Some(why.clone()),
            _ => None,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_were_exchanged_are_followed_and_so_are_ids_as_spellings() {
    let stage = named(3, 30).start();
    sleep(2 * MINUTE).await;
    (0..3).for_each(|place| stage.assert_is(place, stage.ids[place]));
    stage.exchange();
    // From the moment at which the name means another queue on, nothing of the one before answers.
    let ids = stage.ids.clone();
    stage
        .watch(HALF_AN_HOUR, |stage| {
            for place in [0, 1] {
                let state = stage.state(place);
                if state.snapshot.is_some() {
                    stage.assert_is(place, state.id.expect("it was polled by its id"));
                }
            }
        })
        .await;
    stage.assert_is(0, ids[1]);
    stage.assert_is(1, ids[0]);
    stage.assert_is(2, ids[2]);
    let find = |spelling: u64| stage.board.find(None, &spelling.to_string());
    assert_eq!(find(ids[0]), Ok(stage.keys[1].clone()));
    assert_eq!(find(ids[1]), Ok(stage.keys[0].clone()));
    assert_eq!(stage.look_ups(), 2);
    stage.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn a_new_queue_of_an_old_name_is_followed() {
    let stage = named(2, 20).start();
    sleep(2 * MINUTE).await;
    stage.rename(stage.ids[0], "retired");
    let name = stage.name(0).to_owned();
    let new = stage.simulator.world(|world| {
        let new = world.add_queue(&name);
        world.add_agent("Nora", &[new]);
        new
    });
    sleep(HALF_AN_HOUR).await;
    stage.assert_is(0, new);
    stage.assert_is(1, stage.ids[1]);
    let old = stage.ids[0].to_string();
    assert!(matches!(
        stage.board.find(None, &old),
        Err(NotOnBoard::Unknown { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_queue_is_looked_up_at_once_and_one_of_its_name_is_found() {
    for foreign in [ForeignQueue::Refused, ForeignQueue::Empty] {
        for sweep in [true, false] {
            let mut setting = named(3, 30);
            setting.options.sweep = sweep;
            let stage = setting.start();
            sleep(2 * MINUTE).await;
            stage
                .simulator
                .quirks(|quirks| quirks.foreign_queue = foreign);
            let gone = stage.ids[0];
            assert!(stage.simulator.world(|world| world.remove_queue(gone)));
            sleep(3 * MINUTE).await;
            assert!(
                matches!(stage.why(0), Some(NoSuchQueue::Name { .. })),
                "{foreign:?}: {:?}",
                stage.state(0).fault
            );
            assert!((2..=12).contains(&stage.look_ups()), "{}", stage.look_ups());
            let name = stage.name(0).to_owned();
            let new = stage.simulator.world(|world| {
                let new = world.add_queue(&name);
                world.add_agent("Nora", &[new]);
                new
            });
            sleep(2 * MINUTE).await;
            stage.assert_is(0, new);
            stage.assert_all_known();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_refused_for_a_while_costs_few_look_ups() {
    let mut setting = named(2, 20);
    setting.options.sweep = false;
    let stage = setting.start();
    sleep(2 * MINUTE).await;
    stage.simulator.inject(
        usize::MAX,
        Some(Endpoint::AgentStatuses),
        InjectedFault::NotFound,
    );
    sleep(60 * MINUTE).await;
    assert!((2..=11).contains(&stage.look_ups()), "{}", stage.look_ups());
    stage.simulator.clear_faults();
    sleep(2 * MINUTE).await;
    stage.assert_all_known();
    (0..2).for_each(|place| stage.assert_is(place, stage.ids[place]));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_two_queues_have_means_none_until_it_is_plain_again() {
    let stage = named(2, 20).start();
    sleep(2 * MINUTE).await;
    let name = stage.name(0).to_owned();
    let second = stage.simulator.world(|world| world.add_queue(&name));
    sleep(HALF_AN_HOUR + 2 * MINUTE).await;
    assert!(
        matches!(stage.why(0), Some(NoSuchQueue::Ambiguous { .. })),
        "{:?}",
        stage.state(0).fault
    );
    assert!(!stage.decide(0).reason.is_known());
    stage.assert_is(1, stage.ids[1]);
    stage.rename(second, "another");
    sleep(2 * MINUTE).await;
    stage.assert_is(0, stage.ids[0]);
    stage.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn a_name_in_another_case_is_another_name() {
    let (logged, _guard) = listen();
    let stage = named(2, 20).start();
    sleep(2 * MINUTE).await;
    let upper = stage.name(0).to_uppercase();
    stage.rename(stage.ids[0], &upper);
    sleep(HALF_AN_HOUR + 2 * MINUTE).await;
    match stage.why(0) {
        Some(NoSuchQueue::Name { nearest, .. }) => assert_eq!(nearest[0], upper),
        other => panic!("{other:?}"),
    }
    // The log may know every queue.
    let id = format!("(id {})", stage.ids[0]);
    let lines = logged.lines();
    let shown = lines
        .iter()
        .any(|line| line.contains("There are: ") && line.contains(&id));
    assert!(shown, "{lines:?}");
    assert!(!stage.decide(0).reason.is_known());
    stage.rename(stage.ids[0], stage.name(0));
    sleep(2 * MINUTE).await;
    stage.assert_is(0, stage.ids[0]);
    stage.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn a_list_of_names_that_cannot_be_read_changes_nothing() {
    let stage = named(2, 20).start();
    sleep(2 * MINUTE).await;
    stage.simulator.inject(
        usize::MAX,
        Some(Endpoint::Queues),
        InjectedFault::WebPage(503),
    );
    sleep(2 * HALF_AN_HOUR).await;
    stage.assert_all_known();
    assert!((2..=12).contains(&stage.look_ups()), "{}", stage.look_ups());
    stage.exchange();
    stage.simulator.clear_faults();
    sleep(HALF_AN_HOUR).await;
    stage.assert_is(0, stage.ids[1]);
    stage.assert_is(1, stage.ids[0]);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_does_something_else_counts_by_that_within_half_an_hour() {
    for by_name in [true, false] {
        let mut setting = still(2, 20);
        setting.by_name = by_name;
        let stage = setting.start();
        sleep(2 * MINUTE).await;
        let available = stage.status("Available");
        for (action, is_some) in [
            (QueueAction::SetNotReady, false),
            (QueueAction::SetReady, true),
        ] {
            stage
                .simulator
                .world(|world| world.set_queue_action(available, action));
            sleep(HALF_AN_HOUR).await;
            let seats = stage.decide(0).count.expect("it is known");
            assert_eq!(seats > Quantity::ZERO, is_some, "{action:?}");
            stage.assert_true();
        }
    }
}
