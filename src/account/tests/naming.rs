//! Tests queues that are renamed, swapped, created and deleted while they are polled by name, and statuses whose action changes.

use super::*;
use crate::{
    decision::board::NotOnBoard,
    logged::listen,
    model::fault::NoSuchQueue,
    simulator::{Endpoint, ForeignQueue, QueueAction, StatusForm},
};

/// Enough for a new reading of the names, which happens every half hour, and a poll of each queue after it.
const HALF_AN_HOUR: Duration = Duration::from_secs(31 * 60);

fn named(queues: usize, agents: usize) -> Setting {
    Setting {
        by_name: true,
        ..still(queues, agents)
    }
}

impl Fixture {
    fn lookups(&self) -> u64 {
        self.simulator.requests_to(Endpoint::Queues)
    }

    fn rename(&self, id: u64, name: &str) {
        assert!(self.simulator.world(|world| world.rename_queue(id, name)));
    }

    fn name(&self, place: usize) -> &str {
        &self.keys[place].queue
    }

    pub(super) fn swap_names(&self) {
        self.rename(self.ids[0], self.name(1));
        self.rename(self.ids[1], self.name(0));
    }

    /// Asserts that a queue of the config shows this queue of CallTools and its agents.
    fn assert_is(&self, place: usize, id: u64) {
        let state = self.state(place);
        assert_eq!(state.id, Some(id), "{place}");
        let snapshot = state.snapshot.as_ref().expect("the queue is known");
        let mut shown: Vec<_> = snapshot
            .agents
            .iter()
            .map(|agent| agent.id.0.clone())
            .collect();
        let mut real: Vec<_> = self
            .simulator
            .world(|world| world.agents_of(id))
            .into_iter()
            .map(|agent| agent.0)
            .collect();
        shown.sort();
        real.sort();
        assert_eq!(shown, real, "{place}");
    }

    fn why(&self, place: usize) -> Option<NoSuchQueue> {
        match self.state(place).fault.as_deref() {
            Some(Fault::NoSuchQueue(why)) => Some(why.clone()),
            _ => None,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn swapped_names_are_followed_and_so_are_ids_used_as_names() {
    let fixture = named(3, 30).start();
    sleep(2 * MINUTE).await;
    (0..3).for_each(|place| fixture.assert_is(place, fixture.ids[place]));
    fixture.swap_names();
    // Once the name means another queue, no data of the old queue is used.
    let ids = fixture.ids.clone();
    fixture
        .watch(HALF_AN_HOUR, |fixture| {
            for place in [0, 1] {
                let state = fixture.state(place);
                if state.snapshot.is_some() {
                    fixture.assert_is(place, state.id.expect("a polled queue has an id"));
                }
            }
        })
        .await;
    fixture.assert_is(0, ids[1]);
    fixture.assert_is(1, ids[0]);
    fixture.assert_is(2, ids[2]);
    let find = |spelling: u64| fixture.board.find(None, &spelling.to_string(), |_| true);
    assert_eq!(find(ids[0]), Ok(fixture.keys[1].clone()));
    assert_eq!(find(ids[1]), Ok(fixture.keys[0].clone()));
    assert_eq!(fixture.lookups(), 2);
    fixture.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_the_config_has_twice_is_reported_once() {
    let (logged, _guard) = listen();
    let mut fixture = named(3, 30).start();
    fixture.queues[1].reference = QueueRef::Id(fixture.ids[0]);
    fixture.start_task(Known::default());
    sleep(2 * HALF_AN_HOUR).await;
    let lines = logged.lines();
    let said: Vec<_> = lines.iter().filter(|line| line.contains("twice")).collect();
    let [said] = *said else {
        panic!("{lines:?}");
    };
    let id = format!("id={}", fixture.ids[0]);
    assert!(said.starts_with("WARN") && said.contains(&id), "{said}");
    for place in [0, 1] {
        assert!(said.contains(&fixture.keys[place].to_string()), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_queue_with_an_old_name_is_followed() {
    let fixture = named(2, 20).start();
    sleep(2 * MINUTE).await;
    fixture.rename(fixture.ids[0], "retired");
    let name = fixture.name(0).to_owned();
    let new = fixture.simulator.world(|world| {
        let new = world.add_queue(&name);
        world.add_agent("Nora", &[new]);
        new
    });
    sleep(HALF_AN_HOUR).await;
    fixture.assert_is(0, new);
    fixture.assert_is(1, fixture.ids[1]);
    let old = fixture.ids[0].to_string();
    assert!(matches!(
        fixture.board.find(None, &old, |_| true),
        Err(NotOnBoard::Unknown { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_queue_is_looked_up_at_once_and_its_successor_is_found() {
    for foreign in [ForeignQueue::Refused, ForeignQueue::Empty] {
        for sweep in [true, false] {
            let mut setting = named(3, 30);
            setting.options.sweep = sweep;
            let fixture = setting.start();
            sleep(2 * MINUTE).await;
            fixture
                .simulator
                .quirks(|quirks| quirks.foreign_queue = foreign);
            let gone = fixture.ids[0];
            assert!(fixture.simulator.world(|world| world.remove_queue(gone)));
            sleep(3 * MINUTE).await;
            assert!(
                matches!(fixture.why(0), Some(NoSuchQueue::Name { .. })),
                "{foreign:?}: {:?}",
                fixture.state(0).fault
            );
            assert!(
                (2..=12).contains(&fixture.lookups()),
                "{}",
                fixture.lookups()
            );
            let name = fixture.name(0).to_owned();
            let new = fixture.simulator.world(|world| {
                let new = world.add_queue(&name);
                world.add_agent("Nora", &[new]);
                new
            });
            sleep(2 * MINUTE).await;
            fixture.assert_is(0, new);
            fixture.assert_all_known();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_refused_for_a_while_costs_few_lookups() {
    let mut setting = named(2, 20);
    setting.options.sweep = false;
    let fixture = setting.start();
    sleep(2 * MINUTE).await;
    fixture.simulator.inject(
        usize::MAX,
        Some(Endpoint::AgentStatuses),
        InjectedFault::NotFound,
    );
    sleep(60 * MINUTE).await;
    assert!(
        (2..=11).contains(&fixture.lookups()),
        "{}",
        fixture.lookups()
    );
    fixture.simulator.clear_faults();
    sleep(2 * MINUTE).await;
    fixture.assert_all_known();
    (0..2).for_each(|place| fixture.assert_is(place, fixture.ids[place]));
}

#[tokio::test(start_paused = true)]
async fn a_name_of_two_queues_means_neither_until_it_is_unique_again() {
    let fixture = named(2, 20).start();
    sleep(2 * MINUTE).await;
    let name = fixture.name(0).to_owned();
    let second = fixture.simulator.world(|world| world.add_queue(&name));
    sleep(HALF_AN_HOUR + 2 * MINUTE).await;
    assert!(
        matches!(fixture.why(0), Some(NoSuchQueue::Ambiguous { .. })),
        "{:?}",
        fixture.state(0).fault
    );
    assert!(!fixture.decide(0).reason.is_known());
    fixture.assert_is(1, fixture.ids[1]);
    fixture.rename(second, "another");
    sleep(2 * MINUTE).await;
    fixture.assert_is(0, fixture.ids[0]);
    fixture.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn a_name_in_another_case_is_another_name() {
    let (logged, _guard) = listen();
    let fixture = named(2, 20).start();
    sleep(2 * MINUTE).await;
    let upper = fixture.name(0).to_uppercase();
    fixture.rename(fixture.ids[0], &upper);
    sleep(HALF_AN_HOUR + 2 * MINUTE).await;
    match fixture.why(0) {
        Some(NoSuchQueue::Name { nearest, .. }) => assert_eq!(nearest[0], upper),
        other => panic!("{other:?}"),
    }
    // The log may list every queue.
    let id = format!("(id {})", fixture.ids[0]);
    let lines = logged.lines();
    let shown = lines
        .iter()
        .any(|line| line.contains("The account has: ") && line.contains(&id));
    assert!(shown, "{lines:?}");
    assert!(!fixture.decide(0).reason.is_known());
    fixture.rename(fixture.ids[0], fixture.name(0));
    sleep(2 * MINUTE).await;
    fixture.assert_is(0, fixture.ids[0]);
    fixture.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn a_list_of_names_that_cannot_be_read_changes_nothing() {
    let fixture = named(2, 20).start();
    sleep(2 * MINUTE).await;
    fixture.simulator.inject(
        usize::MAX,
        Some(Endpoint::Queues),
        InjectedFault::WebPage(503),
    );
    sleep(2 * HALF_AN_HOUR).await;
    fixture.assert_all_known();
    assert!(
        (2..=12).contains(&fixture.lookups()),
        "{}",
        fixture.lookups()
    );
    fixture.swap_names();
    fixture.simulator.clear_faults();
    sleep(HALF_AN_HOUR).await;
    fixture.assert_is(0, fixture.ids[1]);
    fixture.assert_is(1, fixture.ids[0]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_action_of_a_status_counts_within_half_an_hour() {
    for by_name in [true, false] {
        let mut setting = still(2, 20);
        setting.by_name = by_name;
        let fixture = setting.start();
        sleep(2 * MINUTE).await;
        let available = fixture.status("Available");
        for (action, is_some) in [
            (QueueAction::SetNotReady, false),
            (QueueAction::SetReady, true),
        ] {
            fixture
                .simulator
                .world(|world| world.set_queue_action(available, action));
            sleep(HALF_AN_HOUR).await;
            let seats = fixture.decide(0).count.expect("the queue is known");
            assert_eq!(seats > Quantity::ZERO, is_some, "{action:?}");
            fixture.assert_true();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn names_count_although_calltools_counts_one_more_than_it_lists() {
    let (logged, _guard) = listen();
    // Each queue has at least ten agents, so that only the lists of names lack more than a tenth.
    let fixture = named(3, 30).start();
    fixture.simulator.quirks(|quirks| quirks.count_off_by = 1);
    sleep(2 * MINUTE).await;
    fixture.assert_all_known();
    let lines = logged.lines();
    let guesses = lines.iter().any(|line| line.contains("cannot be read"));
    assert!(!guesses, "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_list_of_statuses_a_count_is_known_once_somebody_has_the_usual_name() {
    let (logged, _guard) = listen();
    let fixture = still(1, 3).start();
    fixture.simulator.quirks(|quirks| {
        quirks.statuses_forbidden = true;
        quirks.agent_status = StatusForm::Name;
    });
    let change = |status: &str, name: &str| {
        fixture.simulator.world(|world| {
            let id = world.status_named(status).unwrap();
            assert!(world.rename_status(id, name) && world.set_everyone(id));
        });
    };
    change("Available", "Ready");
    sleep(MINUTE).await;
    assert!(!fixture.decide(0).reason.is_known());
    let snapshot = fixture.state(0).snapshot.clone().unwrap();
    let why = snapshot.measured.as_ref().unwrap_err().to_string();
    assert!(
        why.contains("statuses/ does not say") && why.contains("\"Ready\""),
        "{why}"
    );
    change("Ready", "Available");
    sleep(MINUTE).await;
    assert_eq!(fixture.decide(0).count, Some(Quantity::from(3_u32)));
    change("Lunch", "Siesta");
    sleep(MINUTE).await;
    let decision = fixture.decide(0);
    assert!(decision.reason.is_known(), "{decision:?}");
    assert_eq!(decision.count, Some(Quantity::ZERO));
    // The list can be read again, and says that this status makes agents available.
    fixture.simulator.world(|world| {
        let lunch = world.status_named("Siesta").unwrap();
        world.set_queue_action(lunch, QueueAction::SetReady);
    });
    fixture
        .simulator
        .quirks(|quirks| quirks.statuses_forbidden = false);
    sleep(12 * MINUTE).await;
    assert_eq!(fixture.decide(0).count, Some(Quantity::from(3_u32)));
    let about = |words: &str| {
        let lines = logged.lines().into_iter();
        lines.filter(|line| line.contains(words)).count()
    };
    assert_eq!(about("statuses/ cannot be read, so a status counts"), 1);
    assert_eq!(about("statuses/ was read, so statuses count"), 1);
}

/// The token's user may not see what statuses do.
fn without_actions(path: &str, answer: &mut Result<Reply, Fault>) {
    if path.starts_with("statuses/") {
        feeds::edit(answer, |body| {
            for status in body["results"].as_array_mut().unwrap() {
                status["queue_action"] = Value::Null;
            }
        });
    }
}

/// The actions are written in another way than CallTools documents, …
fn in_other_letters(path: &str, answer: &mut Result<Reply, Fault>) {
    rewrite_actions(path, answer, |action| {
        action.to_lowercase().replace(' ', "_")
    });
}

/// … or are other words.
fn in_other_words(path: &str, answer: &mut Result<Reply, Fault>) {
    rewrite_actions(path, answer, |action| format!("queue: {action}"));
}

fn rewrite_actions(path: &str, answer: &mut Result<Reply, Fault>, write: fn(&str) -> String) {
    if path.starts_with("statuses/") {
        feeds::edit(answer, |body| {
            for status in body["results"].as_array_mut().unwrap() {
                status["queue_action"] = write(status["queue_action"].as_str().unwrap()).into();
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn actions_in_an_unknown_spelling_do_not_make_everybody_unavailable() {
    for list in [in_other_letters, in_other_words] {
        let fixture = still(1, 3).start();
        feeds::lie(&fixture, Some(list));
        fixture.simulator.world(|world| {
            let available = world.status_named("Available").unwrap();
            assert!(world.set_everyone(available));
        });
        sleep(MINUTE).await;
        assert_eq!(fixture.decide(0).count, Some(Quantity::from(3_u32)));
    }
}

/// Somebody has emptied the list, or the token's user may not see its entries.
fn without_entries(path: &str, answer: &mut Result<Reply, Fault>) {
    if path.starts_with("statuses/") {
        feeds::edit(answer, |body| {
            (body["count"], body["results"]) = (0.into(), Value::Array(Vec::new()));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_statuses_that_does_not_say_what_they_do_is_no_better_than_none() {
    for list in [without_actions, without_entries] {
        let fixture = still(1, 3).start();
        feeds::lie(&fixture, Some(list));
        fixture
            .simulator
            .quirks(|quirks| quirks.agent_status = StatusForm::Name);
        let rename = |status: &str, name: &str| {
            fixture.simulator.world(|world| {
                let id = world.status_named(status).unwrap();
                assert!(world.rename_status(id, name) && world.set_everyone(id));
            });
        };
        rename("Available", "Ready");
        sleep(MINUTE).await;
        let decision = fixture.decide(0);
        assert!(!decision.reason.is_known(), "{decision:?}");
        rename("Ready", "Available");
        sleep(MINUTE).await;
        assert_eq!(fixture.decide(0).count, Some(Quantity::from(3_u32)));
    }
}

/// Rows have the numbers of statuses only.
fn without_names(path: &str, answer: &mut Result<Reply, Fault>) {
    if path.starts_with("agentstatuses/") {
        feeds::edit(answer, |body| {
            for row in body["results"].as_array_mut().unwrap() {
                row["status"] = Value::Null;
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_created_counts_within_seconds() {
    for names in [None, Some(without_names as Lie)] {
        let fixture = still(2, 20).start();
        feeds::lie(&fixture, names);
        sleep(2 * MINUTE).await;
        fixture.simulator.world(|world| {
            let new = world.add_status("Ready", QueueAction::SetReady);
            assert!(world.set_everyone(new));
        });
        // A sweep shows it, and the next request reads the list of statuses.
        sleep(3 * fixture.between_sweeps()).await;
        fixture.assert_all_known();
        fixture.assert_true();
        let seats = fixture.decide(0).count.expect("the queue is known");
        assert!(seats > Quantity::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_began_before_the_statuses_were_read_does_not_bring_old_actions_back() {
    let mut setting = still(1, 20);
    setting.options.sweep = false;
    let fixture = setting.start();
    sleep(2 * MINUTE).await;
    assert!(fixture.decide(0).count > Some(Quantity::ZERO));
    // A poll is always under way.
    *fixture.wire.polls_take.lock().unwrap() = 20 * SECOND;
    let available = fixture.status("Available");
    fixture.simulator.world(|world| {
        assert!(world.set_queue_action(available, QueueAction::SetNotReady));
    });
    fixture.sent();
    while !fixture
        .sent()
        .iter()
        .any(|path| path.starts_with("statuses/"))
    {
        sleep(SECOND).await;
    }
    sleep(SECOND).await;
    let none = |fixture: &Fixture| assert_eq!(fixture.decide(0).count, Some(Quantity::ZERO));
    fixture.watch(MINUTE / 2, none).await;
}
