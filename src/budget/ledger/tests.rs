//! What the next process learns, and what happens to a file does to the one that runs.

use std::{collections::BTreeMap, fs, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use rusqlite::Connection;

use super::*;
use crate::{
    budget::{Budget, BudgetOwner, Purpose, SharedBudget, window::HOUR},
    fixtures::Still,
};

const LIMIT: u32 = 40;

/// Generous, for a machine that is busy.
const LONG: Duration = Duration::from_secs(30);

struct TestFolder(tempfile::TempDir, Arc<Still>);

impl TestFolder {
    fn new() -> Self {
        // In memory where there is such a place: power is not cut here, so no disk has to be waited for.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self(folder.unwrap(), Arc::new(Still::new()))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("budget.sqlite3")
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.1) as Arc<dyn Clock>
    }

    /// A ledger whose thread this test turns itself, and a budget that spends from it.
    fn start(&self) -> (Budget, Keeper) {
        self.start_as("main", "token")
    }

    fn start_as(&self, account: &str, identity: &str) -> (Budget, Keeper) {
        let (ledger, keeper, _) = Ledger::by_hand(&self.path(), self.clock()).unwrap();
        (self.budget(ledger, account, identity), keeper)
    }

    fn budget(&self, ledger: Arc<Ledger>, account: &str, identity: &str) -> Budget {
        let owner = BudgetOwner {
            account: account.to_owned(),
            identity: identity.to_owned(),
        };
        let limit = NonZeroU32::new(LIMIT).unwrap();
        Budget::new(ledger, owner, limit, 0, self.clock())
    }
}

/// Spends up to so many, each written before the next.
fn spend(budget: &Budget, keeper: &mut Keeper, wanted: u32) -> u32 {
    let admitted = (0..wanted).map_while(|_| {
        let permit = budget.admit(Purpose::OnDemand).ok()?;
        keeper.write();
        permit.answered();
        Some(())
    });
    admitted.count() as u32
}

fn is_lost(budget: &Budget) -> bool {
    budget.member.with(|book| book.is_cautious())
}

#[test]
fn the_next_process_knows_what_was_spent() {
    let home = TestFolder::new();
    let (budget, mut keeper) = home.start();
    assert_eq!(spend(&budget, &mut keeper, 35), 35);
    drop((budget, keeper));
    let (budget, mut keeper) = home.start();
    assert!(!is_lost(&budget));
    assert_eq!(budget.usage().used, 35);
    assert_eq!(spend(&budget, &mut keeper, 60), 5);
}

#[test]
fn nothing_that_happens_to_the_files_makes_a_process_forget() {
    for accident in 0..5 {
        let home = TestFolder::new();
        let (budget, mut keeper) = home.start();
        let old = home.0.path().join("old");
        spend(&budget, &mut keeper, 5);
        fs::copy(home.path(), &old).unwrap();
        spend(&budget, &mut keeper, 30);
        let beside = |suffix: &str| home.0.path().join(format!("budget.sqlite3{suffix}"));
        match accident {
            0 => fs::remove_file(home.path()).unwrap(),
            1 => fs::rename(&old, home.path()).unwrap(),
            2 => fs::remove_file(beside("-wal")).unwrap(),
            3 => fs::remove_file(beside("-witness")).unwrap(),
            _ => fs::remove_dir_all(home.0.path()).unwrap(),
        }
        assert_eq!(spend(&budget, &mut keeper, 60), 5, "accident {accident}");
        assert!(
            !keeper.shared.condition.is_degraded(),
            "accident {accident}"
        );
        // And the next process knows all of it.
        drop((budget, keeper));
        let (budget, _keeper) = home.start();
        assert_eq!(budget.usage().used, LIMIT, "accident {accident}");
        assert!(!is_lost(&budget), "accident {accident}");
    }
}

/// The folder was out of reach at the start, so the process knew no number of a transaction. Then it came back with the ledger of an earlier life.
#[test]
fn a_folder_that_comes_back_is_numbered_on_from_where_it_was() {
    let home = TestFolder::new();
    let (budget, mut keeper) = home.start();
    spend(&budget, &mut keeper, 30);
    drop((budget, keeper));
    let (folder, elsewhere) = (home.0.path(), home.0.path().with_extension("away"));
    fs::rename(folder, &elsewhere).unwrap();
    fs::write(folder, "no folder").unwrap();
    // Even where the clock is behind all that was, the numbers go on.
    home.1.step_wall_back(24 * HOUR);
    let (budget, mut keeper) = home.start();
    assert!(is_lost(&budget), "what was sent is not known");
    fs::remove_file(folder).unwrap();
    fs::rename(&elsewhere, folder).unwrap();
    home.1.pass(2 * HOUR);
    assert!(spend(&budget, &mut keeper, 3) > 0);
    kill(&home, budget, keeper);
    fs::remove_file(folder.join("budget.sqlite3-wal")).unwrap();
    let (budget, _keeper) = home.start();
    assert!(is_lost(&budget), "the ledger lost its end");
}

/// What is in the folder, by name.
fn copies(home: &TestFolder) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(home.0.path()).unwrap().map(Result::unwrap);
    let ours = entries.filter(|entry| !entry.file_name().as_encoded_bytes().ends_with(b"-shm"));
    ours.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    })
    .collect()
}

/// Writes files in place where they are there: a kill changes no inode.
fn put_back(home: &TestFolder, files: &BTreeMap<String, Vec<u8>>) {
    for (name, content) in files {
        fs::write(home.0.path().join(name), content).unwrap();
    }
}

/// Killed: the log is not written back, since nothing closes it. The files are copied aside and put back, as they were.
fn kill(home: &TestFolder, budget: Budget, keeper: Keeper) {
    let files = copies(home);
    drop((budget, keeper));
    put_back(home, &files);
}

#[test]
fn a_ledger_that_is_shorter_than_it_was_counts_as_spent_evenly() {
    for accident in 0..5 {
        let home = TestFolder::new();
        let (budget, mut keeper) = home.start();
        spend(&budget, &mut keeper, 5);
        let old = fs::read(home.path()).unwrap();
        spend(&budget, &mut keeper, 30);
        kill(&home, budget, keeper);
        let beside = |suffix: &str| home.0.path().join(format!("budget.sqlite3{suffix}"));
        match accident {
            0 => fs::remove_file(beside("-wal")).unwrap(),
            1 => {
                fs::remove_file(beside("-wal")).unwrap();
                fs::write(home.path(), &old).unwrap();
            }
            2 => fs::remove_file(home.path()).unwrap(),
            3 => fs::write(home.path(), "no ledger at all ".repeat(1_000)).unwrap(),
            _ => fs::remove_file(beside("-witness")).unwrap(),
        }
        let (budget, mut keeper) = home.start();
        assert!(is_lost(&budget), "accident {accident}");
        assert_eq!(budget.usage().used, LIMIT, "accident {accident}");
        assert_eq!(spend(&budget, &mut keeper, 60), 0, "accident {accident}");
        // A tenth of the hour gives no more than a tenth of the limit back.
        home.1.pass(Duration::from_secs(362));
        assert!(
            spend(&budget, &mut keeper, 60) <= LIMIT / 10 + 1,
            "accident {accident}"
        );
    }
}

/// A bit may lie in a part of a file that says nothing any more, such as the end of a log that was begun anew. Then nothing is lost. It is
/// never believed that less was spent.
#[test]
fn a_flipped_bit_in_any_file_loses_nothing_or_is_taken_for_a_loss() {
    const PLACES: usize = 40;
    let (mut lost, mut kept) = (0, 0);
    for suffix in ["-wal", "", "-witness"] {
        for n in 0..PLACES {
            let home = TestFolder::new();
            let (budget, mut keeper) = home.start();
            spend(&budget, &mut keeper, 35);
            let mut files = copies(&home);
            drop((budget, keeper));
            let file = files.get_mut(&format!("budget.sqlite3{suffix}")).unwrap();
            // Half of them near the beginning, where the heads of the file and of its log are.
            let place = match n < PLACES / 2 {
                true => n * 53 % file.len(),
                false => file.len() / PLACES * n,
            };
            file[place] ^= 1 << (n % 8);
            put_back(&home, &files);
            let (budget, _keeper) = home.start();
            match is_lost(&budget) {
                true => lost += 1,
                false => kept += 1,
            }
            let expected = if is_lost(&budget) { LIMIT } else { 35 };
            assert_eq!(
                budget.usage().used,
                expected,
                "budget.sqlite3{suffix} at {place}"
            );
        }
    }
    assert!(lost > 0 && kept > 0, "{lost} lost, {kept} kept");
}

#[test]
fn a_shell_that_holds_the_lock_stops_nothing_and_is_made_up_for() {
    let home = TestFolder::new();
    let (budget, mut keeper) = home.start();
    spend(&budget, &mut keeper, 5);
    let shell = Connection::open(home.path()).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(spend(&budget, &mut keeper, 3), 3);
    assert!(keeper.shared.condition.is_degraded());
    assert_eq!(budget.usage().used, 8);
    shell.execute_batch("ROLLBACK").unwrap();
    keeper.write();
    assert!(!keeper.shared.condition.is_degraded());
    drop((budget, keeper));
    assert_eq!(home.start().0.usage().used, 8);
}

/// 2 requests of the hour, one of an hour ago, and a 429 that halved the share.
const OF_OLD: &str = "
    INSERT INTO request (account, identity, polling, answered, boot_id, boot_ms, wall_ms) VALUES
        ('main', 'token', 1, 1, 'still', BOOT - 60000, WALL - 60000),
        ('other name', 'token', 0, 0, 'still', BOOT - 1000, WALL - 1000),
        ('main', 'token', 1, 1, 'still', BOOT - 3700000, WALL - 3700000);
    INSERT INTO throttle VALUES ('main', 5000, 0.5, 'still', BOOT, WALL);";

#[test]
fn a_ledger_of_an_old_layout_is_read_with_all_that_was_spent() {
    for (layout, sql) in [
        (1, include_str!("../../../tests/layouts/budget-1.sql")),
        (2, include_str!("../../../tests/layouts/budget-2.sql")),
    ] {
        let home = TestFolder::new();
        let moment = home.1.now();
        let old = Connection::open(home.path()).unwrap();
        let rows = OF_OLD
            .replace("BOOT", &moment.boot.as_millis().to_string())
            .replace("WALL", &moment.wall.as_millis().to_string());
        old.execute_batch(&format!("{sql}{rows}")).unwrap();
        drop(old);
        for _ in 0..2 {
            let (budget, _keeper) = home.start();
            let usage = budget.usage();
            assert_eq!((usage.used, usage.share), (2, 0.5), "layout {layout}");
            let silence = usage.throttled_until.expect("it was asked for");
            assert_eq!(silence.shortest_since(moment), Duration::from_secs(5));
            assert!(!is_lost(&budget), "layout {layout}");
        }
        let fresh = TestFolder::new();
        drop(fresh.start());
        assert_eq!(schema(&home), schema(&fresh), "layout {layout}");
    }
}

/// What an hour of layout 2 did not know, the present one does not know either.
#[test]
fn a_loss_of_an_old_layout_is_still_a_loss() {
    for (trusted, hours, expected) in [(0, 0, LIMIT), (1, 0, 0), (0, 2, 0)] {
        let home = TestFolder::new();
        let moment = home.1.now();
        let old = Connection::open(home.path()).unwrap();
        old.execute_batch(include_str!("../../../tests/layouts/budget-2.sql"))
            .unwrap();
        let (boot_ms, wall_ms) = (moment.boot.as_millis(), moment.wall.as_millis());
        let lost = format!("INSERT INTO lost VALUES ({trusted}, 'still', {boot_ms}, {wall_ms})");
        old.execute_batch(&lost).unwrap();
        drop(old);
        home.1.pass(Duration::from_secs(3_600) * hours);
        let (budget, _keeper) = home.start();
        assert_eq!(budget.usage().used, expected, "{trusted} {hours}");
    }
}

/// What SQLite says of a ledger's tables and indexes.
fn schema(home: &TestFolder) -> Vec<String> {
    let file = Connection::open(home.path()).unwrap();
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    let mut statement = file.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_chain_of_new_names_and_new_tokens_spends_from_one_hour() {
    let home = TestFolder::new();
    for (n, (account, identity)) in [("a", "1"), ("b", "1"), ("b", "2"), ("c", "2")]
        .into_iter()
        .enumerate()
    {
        let (budget, mut keeper) = home.start_as(account, identity);
        // The thread is woken when an owner enters; here there is none.
        keeper.write();
        let expected = if n == 0 { LIMIT } else { 0 };
        assert_eq!(
            spend(&budget, &mut keeper, 60),
            expected,
            "{account} {identity}"
        );
        home.1.pass(Duration::from_secs(600));
    }
    let (budget, mut keeper) = home.start_as("d", "4");
    assert_eq!(
        spend(&budget, &mut keeper, 60),
        LIMIT,
        "a stranger has its own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_accounts_share_their_transactions() {
    let home = TestFolder::new();
    let ledger = Arc::new(Ledger::keep(&home.path(), home.clock()).unwrap());
    let budgets: Vec<_> = (0..1_000)
        .map(|n| {
            self::TestFolder::budget(
                &home,
                Arc::clone(&ledger),
                &format!("account {n}"),
                &format!("token {n}"),
            )
        })
        .collect();
    let before = ledger.transactions();
    let permits = budgets
        .iter()
        .map(|budget| budget.permit(Purpose::OnDemand));
    let permits = futures_util::future::join_all(permits).await;
    assert!(permits.iter().all(Result::is_ok));
    let transactions = ledger.transactions() - before;
    assert!(
        transactions <= 20,
        "{transactions} transactions for a thousand requests"
    );
    ledger.finish(LONG);
}

/// The budgets of two tokens of one account, which the config gives one name.
fn start_two(home: &TestFolder, budgets: [&str; 2]) -> ([Budget; 2], Keeper) {
    let (ledger, keeper, _) = Ledger::by_hand(&home.path(), home.clock()).unwrap();
    let budget = |(account, name): (&str, &str)| {
        let owner = BudgetOwner {
            account: account.to_owned(),
            identity: format!("token of {account}"),
        };
        let shared = SharedBudget {
            name: name.into(),
            accounts: NonZeroU32::new(2).unwrap(),
        };
        let limit = NonZeroU32::new(LIMIT).unwrap();
        Budget::shared(
            Arc::clone(&ledger),
            owner,
            limit,
            0,
            Some(&shared),
            home.clock(),
        )
    };
    let [day, night] = budgets;
    ([("day", day), ("night", night)].map(budget), keeper)
}

#[test]
fn two_tokens_with_one_budget_share_one_hour_over_restarts_too() {
    let home = TestFolder::new();
    let ([day, night], mut keeper) = start_two(&home, ["acme", "acme"]);
    assert_eq!(spend(&day, &mut keeper, 25), 25);
    assert_eq!((day.usage().used, night.usage().used), (25, 25));
    assert_eq!(spend(&night, &mut keeper, LIMIT), 15);
    assert_eq!(spend(&day, &mut keeper, 1), 0);
    assert_eq!(
        day.usual_period(),
        HOUR / (LIMIT / 2),
        "each polls at half the pace"
    );
    drop((day, night, keeper));
    let ([day, night], mut keeper) = start_two(&home, ["acme", "acme"]);
    assert_eq!((day.usage().used, night.usage().used), (LIMIT, LIMIT));
    assert_eq!(
        spend(&day, &mut keeper, 1) + spend(&night, &mut keeper, 1),
        0
    );
    // A 429 to one of them silences both.
    let until = night.throttled(None);
    assert_eq!(day.usage().throttled_until, Some(until));
}

#[test]
fn an_account_that_leaves_a_budget_shares_what_was_spent_for_an_hour() {
    let home = TestFolder::new();
    let ([day, night], mut keeper) = start_two(&home, ["acme", "acme"]);
    assert_eq!(spend(&day, &mut keeper, 30), 30);
    drop((day, night, keeper));
    let ([day, night], mut keeper) = start_two(&home, ["acme", "night"]);
    assert_eq!(spend(&night, &mut keeper, LIMIT), 10);
    assert_eq!(spend(&day, &mut keeper, 1), 0);
}

#[test]
fn accounts_of_different_budgets_share_nothing() {
    let home = TestFolder::new();
    let ([day, night], mut keeper) = start_two(&home, ["acme", "other"]);
    assert_eq!(spend(&day, &mut keeper, LIMIT), LIMIT);
    assert_eq!(spend(&night, &mut keeper, LIMIT), LIMIT);
}
