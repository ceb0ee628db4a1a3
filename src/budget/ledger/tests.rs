//! What the next process learns, and how a running process copes with changes to its files.

use std::{collections::BTreeMap, fs, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use rusqlite::Connection;

use super::*;
use crate::{
    budget::{Budget, BudgetOwner, Mark, Mirrored, Purpose, SharedBudget, window::HOUR},
    fixtures::Still,
    process::state_folder::ALL,
};

const LIMIT: u32 = 40;

/// Generous, for a machine that is busy.
const LONG: Duration = Duration::from_secs(30);

struct TestFolder(tempfile::TempDir, Arc<Still>);

impl TestFolder {
    fn new() -> Self {
        // In memory if possible: power never fails in these tests, so there is no need to wait for a disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self(folder.unwrap(), Arc::new(Still::new()))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("budget.sqlite3")
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.1) as Arc<dyn Clock>
    }

    /// Opens a ledger without a thread, and a budget that spends from it.
    fn start(&self) -> (Budget, Keeper) {
        self.start_as("main", "token")
    }

    fn start_as(&self, account: &str, identity: &str) -> (Budget, Keeper) {
        let (ledger, keeper, _) = Ledger::without_thread(&self.path(), self.clock()).unwrap();
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

/// Spends up to `wanted` requests, each written before the next. Returns how many.
fn spend(budget: &Budget, keeper: &mut Keeper, wanted: u32) -> u32 {
    let admitted = (0..wanted).map_while(|_| {
        let permit = budget.spend(Purpose::OnDemand).ok()?;
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

/// In a cluster. The largest numbers must fit into the file's signed ones.
#[test]
fn the_next_process_knows_what_other_nodes_sent() {
    let home = TestFolder::new();
    let (budget, mut keeper) = home.start();
    assert_eq!(spend(&budget, &mut keeper, 5), 5);
    let mark = |number| Mark {
        process: u64::MAX - 1,
        number,
    };
    let others: Vec<_> = (0..20)
        .map(|number| Mirrored::asked_for(mark(u64::MAX - number), number % 2 == 0))
        .collect();
    budget.mirror(&others);
    keeper.write();
    let answered: Vec<_> = others
        .iter()
        .take(7)
        .map(|one| one.answered_now())
        .collect();
    budget.mirror(&answered);
    let known = |budget: &Budget| {
        let mut known = budget.mirrored(1);
        known.sort_by_key(|one| (one.mark.process, one.mark.number));
        known
    };
    let before = known(&budget);
    assert_eq!(before.iter().filter(|one| one.answered).count(), 5 + 7);
    keeper.write();
    drop((budget, keeper));

    let (budget, mut keeper) = home.start();
    assert!(!is_lost(&budget) && budget.was_in_cluster());
    assert_eq!(budget.usage().used, 25);
    for (is, was) in known(&budget).into_iter().zip(before) {
        // The file has whole milliseconds.
        let less = was.stays.abs_diff(is.stays);
        assert!(less <= Duration::from_millis(1), "{is:?} {was:?}");
        assert_eq!(
            Mirrored {
                stays: was.stays,
                ..is
            },
            was
        );
    }
    // It hears of them again from a node that followed.
    budget.mirror(&others);
    assert_eq!(budget.usage().used, 25);
    assert_eq!(spend(&budget, &mut keeper, 60), LIMIT - 25);
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
        let companion = |suffix: &str| home.0.path().join(format!("budget.sqlite3{suffix}"));
        match accident {
            0 => fs::remove_file(home.path()).unwrap(),
            1 => fs::rename(&old, home.path()).unwrap(),
            2 => fs::remove_file(companion("-wal")).unwrap(),
            3 => fs::remove_file(companion("-witness")).unwrap(),
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

/// The folder was unreachable at startup, so the process did not know the last transaction's number. Then it came back with an earlier ledger.
#[test]
fn a_folder_that_comes_back_continues_its_numbers() {
    let home = TestFolder::new();
    let (budget, mut keeper) = home.start();
    spend(&budget, &mut keeper, 30);
    drop((budget, keeper));
    let (folder, elsewhere) = (home.0.path(), home.0.path().with_extension("away"));
    fs::rename(folder, &elsewhere).unwrap();
    fs::write(folder, "no folder").unwrap();
    // The numbers continue even if the clock has gone back.
    home.1.step_wall_back(24 * HOUR);
    let (budget, mut keeper) = home.start();
    assert!(is_lost(&budget), "what was sent is unknown");
    fs::remove_file(folder).unwrap();
    fs::rename(&elsewhere, folder).unwrap();
    home.1.pass(2 * HOUR);
    assert!(spend(&budget, &mut keeper, 3) > 0);
    kill(&home, budget, keeper);
    fs::remove_file(folder.join("budget.sqlite3-wal")).unwrap();
    let (budget, _keeper) = home.start();
    assert!(is_lost(&budget), "the ledger lost its end");
}

/// Returns the files in the folder, by name.
fn copies(home: &TestFolder) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(home.0.path()).unwrap().map(Result::unwrap);
    let ours = entries.filter(|entry| !entry.file_name().as_encoded_bytes().ends_with(b"-shm"));
    ours.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    })
    .collect()
}

/// Writes the files in place, because a kill changes no inode.
fn put_back(home: &TestFolder, files: &BTreeMap<String, Vec<u8>>) {
    for (name, content) in files {
        fs::write(home.0.path().join(name), content).unwrap();
    }
}

/// Simulates a kill, after which the log is not written back: keeps copies of the files, and puts them back after the process has closed them.
fn kill(home: &TestFolder, budget: Budget, keeper: Keeper) {
    let files = copies(home);
    drop((budget, keeper));
    put_back(home, &files);
}

#[test]
fn an_incomplete_ledger_counts_as_spent_evenly() {
    for accident in 0..5 {
        let home = TestFolder::new();
        let (budget, mut keeper) = home.start();
        spend(&budget, &mut keeper, 5);
        let old = fs::read(home.path()).unwrap();
        spend(&budget, &mut keeper, 30);
        kill(&home, budget, keeper);
        let companion = |suffix: &str| home.0.path().join(format!("budget.sqlite3{suffix}"));
        match accident {
            0 => fs::remove_file(companion("-wal")).unwrap(),
            1 => {
                fs::remove_file(companion("-wal")).unwrap();
                fs::write(home.path(), &old).unwrap();
            }
            2 => fs::remove_file(home.path()).unwrap(),
            3 => fs::write(home.path(), "no ledger at all ".repeat(1_000)).unwrap(),
            _ => fs::remove_file(companion("-witness")).unwrap(),
        }
        let (budget, mut keeper) = home.start();
        assert!(is_lost(&budget), "accident {accident}");
        assert_eq!(budget.usage().used, LIMIT, "accident {accident}");
        assert_eq!(spend(&budget, &mut keeper, 60), 0, "accident {accident}");
        // A tenth of the hour frees at most a tenth of the limit.
        home.1.pass(Duration::from_secs(362));
        assert!(
            spend(&budget, &mut keeper, 60) <= LIMIT / 10 + 1,
            "accident {accident}"
        );
    }
}

/// A bit may be in an unused part of a file, such as the old end of a restarted log. Then nothing is lost. A flipped bit must never make less
/// look spent.
#[test]
fn a_flipped_bit_in_any_file_loses_nothing_or_counts_as_a_loss() {
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
            // Half of the places are near the beginning, where the file and its log have their headers.
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
fn a_shell_that_holds_the_lock_only_delays_the_writes() {
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

/// 2 requests of the last hour, an older one, and a 429 that halved the share.
const OLD_ROWS: &str = "
    INSERT INTO request (account, identity, polling, answered, boot_id, boot_ms, wall_ms) VALUES
        ('main', 'token', 1, 1, 'still', BOOT - 60000, WALL - 60000),
        ('other name', 'token', 0, 0, 'still', BOOT - 1000, WALL - 1000),
        ('main', 'token', 1, 1, 'still', BOOT - 3700000, WALL - 3700000);
    INSERT INTO throttle VALUES ('main', 5000, 0.5, 'still', BOOT, WALL);";

#[test]
fn a_ledger_of_an_old_layout_keeps_all_spent_requests() {
    for (layout, sql) in [
        (1, include_str!("../../../tests/layouts/budget-1.sql")),
        (2, include_str!("../../../tests/layouts/budget-2.sql")),
    ] {
        let home = TestFolder::new();
        let moment = home.1.now();
        let old = Connection::open(home.path()).unwrap();
        let rows = OLD_ROWS
            .replace("BOOT", &moment.boot.as_millis().to_string())
            .replace("WALL", &moment.wall.as_millis().to_string());
        old.execute_batch(&format!("{sql}{rows}")).unwrap();
        drop(old);
        for _ in 0..2 {
            let (budget, _keeper) = home.start();
            let usage = budget.usage();
            assert_eq!((usage.used, usage.share), (2, 0.5), "layout {layout}");
            let silence = usage.throttled_until.expect("a pause was requested");
            assert_eq!(silence.shortest_since(moment), Duration::from_secs(5));
            assert!(!is_lost(&budget), "layout {layout}");
        }
        let fresh = TestFolder::new();
        drop(fresh.start());
        assert_eq!(schema(&home), schema(&fresh), "layout {layout}");
    }
}

/// Requests that were unknown in layout 2 are still unknown after the migration.
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

/// Returns the SQL of a ledger's tables and indexes.
fn schema(home: &TestFolder) -> Vec<String> {
    let file = Connection::open(home.path()).unwrap();
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    let mut statement = file.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_ledger_counts_as_lost_if_any_other_file_shows_that_there_was_one() {
    let others = ALL.iter().filter(|name| **name != "budget.sqlite3");
    for name in others.copied().chain(["budget.sqlite3-witness"]) {
        let home = TestFolder::new();
        fs::create_dir_all(home.path().parent().unwrap()).unwrap();
        fs::write(home.path().with_file_name(name), "").unwrap();
        let (budget, _keeper) = home.start();
        assert!(is_lost(&budget), "{name}");
    }
    let home = TestFolder::new();
    fs::create_dir_all(home.path().parent().unwrap()).unwrap();
    fs::write(home.path(), "").unwrap();
    assert!(!is_lost(&home.start().0), "it has just been created");
}

#[test]
fn a_new_token_of_a_running_account_is_known_to_the_next_process() {
    let home = TestFolder::new();
    let (budget, mut keeper) = home.start_as("a", "1");
    assert_eq!(spend(&budget, &mut keeper, 30), 30);
    budget.goes_on_as("2".to_owned());
    assert_eq!((budget.usage().used, &*budget.owner().identity), (30, "2"));
    keeper.write();
    drop((budget, keeper));
    let (budget, mut keeper) = home.start_as("b", "2");
    assert_eq!(spend(&budget, &mut keeper, 60), LIMIT - 30);
}

#[test]
fn running_accounts_that_get_one_token_share_an_hour_until_they_have_two_again() {
    let home = TestFolder::new();
    let (ledger, mut keeper, _) = Ledger::without_thread(&home.path(), home.clock()).unwrap();
    let budget = |account, identity| home.budget(Arc::clone(&ledger), account, identity);
    let (main, lab) = (budget("main", "1"), budget("lab", "2"));
    assert_eq!(spend(&main, &mut keeper, 30), 30);
    assert_eq!(spend(&lab, &mut keeper, 5), 5);
    lab.goes_on_as("1".to_owned());
    assert_eq!([main.usage().used, lab.usage().used], [35, 35]);
    assert_eq!(spend(&lab, &mut keeper, 3), 3);
    assert_eq!(spend(&main, &mut keeper, 60), LIMIT - 38);
    assert_eq!(spend(&lab, &mut keeper, 60), 0);
    // For an hour, the earlier token connects them.
    lab.goes_on_as("2".to_owned());
    home.1.pass(Duration::from_secs(1_800));
    assert_eq!(spend(&lab, &mut keeper, 60), 0);
    for _ in 0..3 {
        home.1.pass(Duration::from_secs(1_800));
        main.usage();
    }
    // An entering owner is when owners are forgotten.
    lab.goes_on_as("3".to_owned());
    assert_eq!(spend(&main, &mut keeper, 60), LIMIT);
    assert_eq!(spend(&lab, &mut keeper, 60), LIMIT);
}

#[test]
fn a_chain_of_new_names_and_new_tokens_spends_from_one_hour() {
    let home = TestFolder::new();
    for (n, (account, identity)) in [("a", "1"), ("b", "1"), ("b", "2"), ("c", "2")]
        .into_iter()
        .enumerate()
    {
        let (budget, mut keeper) = home.start_as(account, identity);
        // An entering owner would wake the thread, but this ledger has none.
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
        "an unrelated owner has an hour of its own"
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
    // There is one each 25 ms, while a busy machine asks for the thousand permits: twenty in half a second.
    assert!(
        transactions <= 100,
        "{transactions} transactions for a thousand requests"
    );
    ledger.finish(LONG);
}

/// Starts the budgets of two accounts, each with the name of its shared budget.
fn start_two(home: &TestFolder, budgets: [&str; 2]) -> ([Budget; 2], Keeper) {
    let (ledger, keeper, _) = Ledger::without_thread(&home.path(), home.clock()).unwrap();
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
fn two_tokens_with_one_budget_share_an_hour_even_across_restarts() {
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
    // A 429 for one of them silences both.
    let until = night.throttled(None);
    assert_eq!(day.usage().throttled_until, Some(until));
}

#[test]
fn a_lost_hour_counts_once_however_many_accounts_share_it() {
    let home = TestFolder::new();
    let pace = |budget: &Budget| budget.usual_period();
    drop(start_two(&home, ["acme", "acme"]));
    fs::write(home.path(), "damaged").unwrap();
    let ([day, night], _keeper) = start_two(&home, ["acme", "acme"]);
    assert!(is_lost(&day));
    let used = day.usage().used;
    assert!(
        (LIMIT - 2..=LIMIT).contains(&used),
        "{used}: the oldest have left"
    );
    assert_eq!(night.usage().used, used);
    assert_eq!(pace(&day), pace(&night));
    // Each had an hour of its own when it was lost, and a new config joins them.
    let home = TestFolder::new();
    drop(start_two(&home, ["day", "night"]));
    fs::write(home.path(), "damaged").unwrap();
    let (budgets, keeper) = start_two(&home, ["day", "night"]);
    assert_eq!(budgets[0].usage().used, used);
    drop((budgets, keeper));
    let ([day, night], mut keeper) = start_two(&home, ["acme", "acme"]);
    assert!((LIMIT - 2..=LIMIT).contains(&day.usage().used));
    keeper.write();
    home.1.pass(HOUR / 2);
    let left = day.usage().used;
    assert!(
        (LIMIT / 2 - 3..=LIMIT / 2 + 3).contains(&left),
        "{left}: evenly"
    );
    drop((day, night, keeper));
    let ([day, _night], _keeper) = start_two(&home, ["acme", "acme"]);
    assert_eq!(day.usage().used, left, "what was dropped stays dropped");
}

#[test]
fn an_account_that_leaves_a_budget_shares_its_hour_until_it_ends() {
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
