//! What is restored from the store, from each layout that was released.

use std::path::PathBuf;

use rusqlite::Connection;

use super::*;
use crate::{
    budget::BudgetOwner,
    clock::{Moment, steady},
    config::QueueRef,
    decision::board::QueueKey,
    fixtures::{Still, available},
    model::{
        agent::Agent,
        known::{Known, Poll, Sighting},
        names::Names,
    },
    state::journal,
};

const TIMEOUT: Duration = Duration::from_secs(20);

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("state.sqlite3")
    }

    fn open(&self, clock: &Arc<Still>) -> Store {
        Store::open(&self.path(), Arc::clone(clock) as Arc<dyn Clock>).unwrap()
    }

    fn known(&self, clock: &Arc<Still>) -> Known {
        self.open(clock).known(&owner("token"), &Names::default())
    }
}

fn owner(identity: &str) -> BudgetOwner {
    BudgetOwner {
        account: "main".to_owned(),
        identity: identity.to_owned(),
    }
}

fn poll(as_of: Moment, agents: Vec<Agent>) -> Poll {
    Poll {
        as_of,
        took: Duration::from_millis(321),
        complete: true,
        agents: agents.into_iter().map(Arc::new).collect(),
    }
}

fn sighting(at: Moment, agent: Agent) -> Sighting {
    Sighting {
        agent: Arc::new(agent),
        at,
        by_sweep: true,
    }
}

#[test]
fn polls_and_sightings_are_restored_with_their_moments() {
    let (folder, clock) = (Folder::new(), Arc::new(Still::new()));
    let polled = clock.now();
    let store = folder.open(&clock);
    store.keep(Note::Polled(
        owner("token"),
        5450,
        poll(polled, available(25)),
    ));
    clock.pass(Duration::from_secs(10));
    let swept = clock.now();
    let seen = vec![sighting(swept, available(1).remove(0))];
    store.keep(Note::Seen(owner("token"), seen));
    store.finish(TIMEOUT);
    clock.pass(Duration::from_secs(60));
    let known = folder.known(&clock);
    let [(5450, poll)] = &known.queues[..] else {
        panic!("{known:?}");
    };
    assert_eq!(
        (poll.as_of, poll.complete, poll.agents.len()),
        (polled, true, 25)
    );
    assert_eq!(poll.took, Duration::from_millis(321));
    assert_eq!(
        poll.agents[7].raw.json().get(),
        available(25)[7].raw.json().get()
    );
    assert_eq!(poll.agents[7].available, Some(true));
    assert_eq!(known.agents[0].at, swept);
    let others = folder
        .open(&clock)
        .known(&owner("another token"), &Names::default());
    assert!(others.queues.is_empty() && others.agents.is_empty());
}

#[test]
fn data_older_than_a_day_or_in_doubt_is_not_restored() {
    let (folder, clock) = (Folder::new(), Arc::new(Still::new()));
    let keep = |notes: Vec<Note>| {
        let store = folder.open(&clock);
        notes.into_iter().for_each(|note| store.keep(note));
        store.finish(TIMEOUT);
    };
    keep(vec![
        Note::Polled(owner("token"), 1, poll(clock.now(), available(1))),
        Note::Seen(
            owner("token"),
            vec![sighting(clock.now(), available(1).remove(0))],
        ),
    ]);
    clock.pass(Duration::from_secs(86_401));
    let known = folder.known(&clock);
    assert!(known.queues.is_empty() && known.agents.is_empty());
    let seen = vec![sighting(clock.now(), available(2).remove(1))];
    keep(vec![Note::Seen(owner("token"), seen)]);
    assert_eq!(folder.known(&clock).agents.len(), 1);
    let file = Connection::open(folder.path()).unwrap();
    for table in ["polled", "sighting", "sighted_row"] {
        let count = file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
            row.get(0)
        });
        assert_eq!(
            count,
            Ok(u32::from(table != "polled")),
            "{table}: the old ones are gone"
        );
    }
    keep(vec![Note::Doubted(owner("token"))]);
    assert!(folder.known(&clock).agents.is_empty());
}

#[test]
fn old_data_is_removed_once_an_hour_and_not_with_each_write() {
    let (folder, clock) = (Folder::new(), Arc::new(Still::new()));
    let store = folder.open(&clock);
    let old = BudgetOwner {
        account: "old".to_owned(),
        ..owner("token")
    };
    let seen = |owner: &BudgetOwner, clock: &Still| {
        let sighting = sighting(clock.now(), available(1).remove(0));
        store.keep(Note::Seen(owner.clone(), vec![sighting]));
    };
    let rows = |expected: u32| {
        let file = Connection::open(folder.path()).unwrap();
        let begun = steady();
        loop {
            let sql = "SELECT count(*) FROM sighting";
            let found = file.query_row(sql, [], |row| row.get(0));
            if found == Ok(expected) {
                return;
            }
            assert!(steady() - begun < TIMEOUT, "{found:?} and not {expected}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    seen(&old, &clock);
    rows(1);
    clock.pass(Duration::from_secs(86_400 - 1_800));
    seen(&owner("token"), &clock);
    rows(2);
    // It is a day old now, and half an hour ago it was not.
    clock.pass(Duration::from_secs(1_801));
    let third = BudgetOwner {
        account: "third".to_owned(),
        ..owner("token")
    };
    seen(&third, &clock);
    rows(3);
    clock.pass(Duration::from_secs(1_800));
    seen(&third, &clock);
    rows(2);
}

#[test]
fn a_store_of_an_old_layout_still_knows_its_names_and_reservations() {
    let (first, second, third, fifth) = (
        include_str!("../../../tests/layouts/state-1.sql"),
        include_str!("../../../tests/layouts/state-2.sql"),
        include_str!("../../../tests/layouts/state-3.sql"),
        include_str!("../../../tests/layouts/state-5.sql"),
    );
    for (layout, held) in [(first, 0), (second, 1), (third, 1), (fifth, 1)] {
        let (folder, clock) = (Folder::new(), Arc::new(Still::new()));
        let old = Connection::open(folder.path()).unwrap();
        old.execute_batch(layout).unwrap();
        if held > 0 {
            let expires_ms = clock.now().wall.as_millis() + 60_000;
            let sql = format!(
                "INSERT INTO reservations VALUES ('r', 'main', 'sales', 'c', 1, {expires_ms})"
            );
            old.execute_batch(&sql).unwrap();
        }
        knows_its_names(&folder, &clock, &old);
        let reservations = journal::reservations(Arc::new(folder.open(&clock))).unwrap();
        assert_eq!(reservations.list(clock.now()).len(), held);
    }
}

fn knows_its_names(folder: &Folder, clock: &Arc<Still>, old: &Connection) {
    let read_ms = clock.now().wall.as_millis() - 60_000;
    old.execute_batch(&format!(
        r#"INSERT INTO names VALUES ('main', 'token', '{{"queues":[{{"id":7,"name":"sales"}}],"statuses":null}}', {read_ms})"#
    ))
    .unwrap();
    let store = folder.open(clock);
    let (names, age) = store.names(&owner("token"), clock.now()).unwrap();
    assert_eq!(
        (names.resolve("sales"), age),
        (Ok(7), Duration::from_secs(60))
    );
    let schema = |folder: &Folder| -> Vec<String> {
        let file = Connection::open(folder.path()).unwrap();
        let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
        let mut statement = file.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let fresh = Folder::new();
    fresh.known(clock);
    assert_eq!(schema(folder), schema(&fresh));
}

#[test]
fn what_a_renamed_account_learnt_is_kept_under_its_new_name_only() {
    let (folder, clock) = (Folder::new(), Arc::new(Still::new()));
    let named = |account: &str, identity: &str| BudgetOwner {
        account: account.to_owned(),
        identity: identity.to_owned(),
    };
    let keep = |notes: Vec<Note>| {
        let store = folder.open(&clock);
        notes.into_iter().for_each(|note| store.keep(note));
        store.finish(TIMEOUT);
    };
    let learnt = |owner: &BudgetOwner| Note::Learnt(owner.clone(), "{}".to_owned());
    let [before, now] = ["m1", "m2"].map(|name| named(name, "token"));
    let other = named("spare", "another token");
    let is_kept = |owner: &BudgetOwner| folder.open(&clock).foresight(owner).is_some();
    let polled = poll(clock.now(), available(1));
    keep(vec![
        Note::Polled(before.clone(), 5450, polled),
        learnt(&before),
        learnt(&other),
        learnt(&now),
    ]);
    // Two accounts may have one token: as long as its queues are known, it may still be there.
    assert!(is_kept(&before) && is_kept(&now) && is_kept(&other));
    clock.pass(Duration::from_secs(90_000));
    // What is too old is removed after the notes of the same batch.
    keep(vec![learnt(&now)]);
    keep(vec![learnt(&now)]);
    assert!(!is_kept(&before) && is_kept(&now) && is_kept(&other));
}

fn account_of(account: &str, identity: &str) -> BudgetOwner {
    BudgetOwner {
        account: account.to_owned(),
        identity: identity.to_owned(),
    }
}

/// The names of an account whose queue `sales` has the id 7.
fn names() -> Arc<Names> {
    let json = r#"{"queues":[{"id":7,"name":"sales"}],"statuses":null}"#;
    Arc::new(Names::from_json(json).unwrap())
}

#[test]
fn what_is_stored_under_a_former_name_of_an_account_is_found_under_its_new_one() {
    let (folder, clock) = (Folder::new(), Arc::new(Still::new()));
    let (former, new) = (account_of("former", "token"), owner("token"));
    let store = folder.open(&clock);
    let seen = vec![sighting(clock.now(), available(1).remove(0))];
    for note in [
        Note::Named(former.clone(), names(), clock.now()),
        Note::Polled(former.clone(), 7, poll(clock.now(), available(3))),
        Note::Seen(former.clone(), seen),
        Note::Learnt(former.clone(), "{}".to_owned()),
    ] {
        store.keep(note);
    }
    store.finish(TIMEOUT);
    let found = |owner: &BudgetOwner| {
        let store = folder.open(&clock);
        store.follow_new_name(owner);
        let known = store.known(owner, &Names::default());
        let names = store.names(owner, clock.now());
        let learnt = store.foresight(owner);
        let has = (names.is_some(), learnt.is_some());
        (has, known.queues.len(), known.agents.len())
    };
    assert_eq!(found(&new), ((true, true), 1, 1));
    let both = "two accounts may have one token";
    assert_eq!(found(&former), ((true, true), 1, 1), "{both}");
    assert_eq!(found(&owner("another token")), ((false, false), 0, 0));
}

#[test]
fn an_account_whose_names_were_never_read_is_found_under_its_new_name_too() {
    let (folder, clock) = (Folder::new(), Arc::new(Still::new()));
    let (former, new) = (account_of("former", "token"), owner("token"));
    let store = folder.open(&clock);
    let seen = vec![sighting(clock.now(), available(1).remove(0))];
    let polls = |store: &Store, owner: &BudgetOwner, agents: usize| {
        let poll = poll(clock.now(), available(agents));
        store.keep(Note::Polled(owner.clone(), 7, poll));
    };
    polls(&store, &former, 3);
    store.keep(Note::Seen(former.clone(), seen));
    store.finish(TIMEOUT);
    let found = || {
        let store = folder.open(&clock);
        store.follow_new_name(&new);
        let known = store.known(&new, &Names::default());
        let rows = known.queues.iter().map(|(_, poll)| poll.agents.len());
        (rows.collect::<Vec<_>>(), known.agents.len())
    };
    assert_eq!(found(), (vec![3], 1));
    // From now on it has polls of its own, which the former ones do not replace.
    let store = folder.open(&clock);
    polls(&store, &new, 2);
    store.finish(TIMEOUT);
    assert_eq!(found(), (vec![2], 1));
}

#[test]
fn seats_are_restored_in_their_queue_whatever_the_config_calls_it_now() {
    let (folder, clock) = (Folder::new(), Arc::new(Still::new()));
    let store = folder.open(&clock);
    for (account, identity) in [("a", "x"), ("b", "y"), ("c", "old")] {
        let owner = account_of(account, identity);
        store.keep(Note::Named(owner, names(), clock.now()));
    }
    store.finish(TIMEOUT);
    drop(store);
    let file = Connection::open(folder.path()).unwrap();
    let expires_ms = clock.now().wall.as_millis() + 60_000;
    for (id, account, queue) in [
        ("swapped", "a", "sales"),
        ("by id", "b", "7"),
        ("with a new token", "c", "sales"),
        ("removed", "a", "left"),
        ("unknown", "gone", "sales"),
    ] {
        let sql = format!(
            "INSERT INTO reservations (id, account, queue, call_id, made_ms, expires_ms) VALUES ('{id}', '{account}', '{queue}', 'c', 1, {expires_ms})"
        );
        file.execute_batch(&sql).unwrap();
    }
    drop(file);
    let serves = |account: &str, identity: &str, reference: QueueRef| ConfiguredAccount {
        owner: account_of(account, identity),
        queues: vec![(QueueKey::new(account, reference.to_string()), reference)],
    };
    let by_name = || QueueRef::Name("sales".to_owned());
    let store = folder.open(&clock);
    store.serves(vec![
        serves("a", "y", by_name()),
        serves("b", "x", QueueRef::Id(7)),
        serves("c", "new", by_name()),
    ]);
    let reservations = journal::reservations(Arc::new(store)).unwrap();
    let held = reservations.list(clock.now()).into_iter();
    let held: Vec<_> = held
        .map(|(queue, one)| (queue.to_string(), one.id.to_string()))
        .collect();
    let expected = [
        ("a/sales", "by id"),
        ("b/7", "swapped"),
        ("b/left", "removed"),
        ("c/sales", "with a new token"),
        ("gone/sales", "unknown"),
    ];
    let expected = expected.map(|(queue, id)| (queue.to_owned(), id.to_owned()));
    assert_eq!(held, expected);
}
