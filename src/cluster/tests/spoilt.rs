//! Tests that an account goes on by itself after another user of a real engine has spoilt a key of it, and that its hour stays.

use std::num::NonZeroU32;

use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    budget::{Budget, Purpose, Witness as _},
    clock::SystemClock,
    cluster::{
        engine::{Address, RedisEngine},
        entry::Entry,
        local::LocalEngine,
    },
    logged::listen,
};

/// The shortest one that a config may have.
const SHORT: Duration = Duration::from_secs(3);

const LIMIT: u32 = 20;

/// How many requests each account has sent before its key is spoilt.
const SENT: u32 = 5;

/// What is done to a key of an account, and whether the account needs a new data set then. The key is deleted before, except with `=`. `~` is a byte
/// that is no text, and `+` a space.
const CASES: [(&str, &str, bool); 45] = [
    ("generation", "SADD x", true),
    ("lease", "SADD x", true),
    ("log", "SADD x", true),
    ("checkpoint", "SADD x", true),
    ("nodes", "SADD x", true),
    ("mirrors", "SADD x", true),
    // A mark of any other letters is another data set.
    ("generation", "SET spoilt", false),
    ("generation", "DEL", false),
    ("generation", "SET ", true),
    ("generation", "SET !", true),
    ("generation", "SET ~", true),
    ("lease", "SET ~", true),
    // Nobody renews it, and no expiry counts.
    ("lease", "SET spoilt", false),
    ("lease", "=PEXPIRE 1", false),
    ("lease", "=EXPIRE 31536000", false),
    ("lease", "=PERSIST", false),
    ("lease", "SET x+1+9007199254740992", false),
    ("lease", "SET x+1099511627776+1", false),
    // Nothing comes after this epoch.
    ("lease", "SET x+1+1099511627776", true),
    ("log", "DEL", true),
    ("log", "XADD 9-9 other x", true),
    ("log", "XADD 9-9 e garbage t 1+1", true),
    ("log", "XADD 9007199254740992-1 e garbage t 1+1", true),
    ("log", "XADD 18446744073709551615-1 e garbage t 1+1", true),
    ("log", "=XADD 1099511627776-1 e garbage t 1+1", true),
    ("log", "=XADD * e garbage t 1+1", true),
    ("log", "=XSETID 9007199254740992-1", true),
    (
        "log",
        "=XSETID 18446744073709551615-18446744073709551615",
        true,
    ),
    ("checkpoint", "DEL", true),
    ("checkpoint", "HSET at 1-1 t 1+1 parts 1 1 garbage", true),
    ("checkpoint", "=HSET 1 garbage", true),
    ("checkpoint", "=HDEL 1", true),
    ("checkpoint", "=HSET parts x", true),
    ("checkpoint", "=HSET parts inf", true),
    ("checkpoint", "=HSET parts 1000000000", true),
    ("checkpoint", "=HSET parts -1", true),
    ("checkpoint", "=HDEL parts", true),
    ("checkpoint", "=HSET at abc", true),
    ("checkpoint", "=HSET at 9-9", true),
    ("checkpoint", "=HDEL at", true),
    ("checkpoint", "=HSET t x", true),
    ("checkpoint", "=HDEL t", true),
    ("nodes", "HSET ~ x", true),
    (
        "nodes",
        r#"=HSET n {"name":"n","beat":1,"epoch":9007199254740991,"number":1,"format":0,"limit":0}"#,
        false,
    ),
    ("mirrors", "HSET n garbage", true),
];

/// A node with an account for each case.
struct Peer {
    accounts: Vec<(Arc<Member>, Arc<Budget>)>,
    tasks: Vec<JoinHandle<()>>,
    _node: Arc<Node>,
}

impl Peer {
    fn start(server: &LocalEngine, name: &str) -> Self {
        let engine = RedisEngine::new(&Address {
            url: server.url(),
            password: None,
            prefix: "p".to_owned(),
            replicas: 0,
        });
        let settings = Settings {
            name: name.to_owned(),
            lease: SHORT,
            alone: None,
        };
        let clock = Arc::new(SystemClock::new());
        let node = Node::new(Arc::new(engine.unwrap()), settings, clock.clone());
        let (mut accounts, mut tasks) = (Vec::new(), Vec::new());
        for case in 0..CASES.len() {
            let account = format!("case-{case}");
            let (member, new) = node.member(&account.as_str().into(), "origin", &account);
            let limit = NonZeroU32::new(LIMIT).unwrap();
            let budget = Budget::in_memory(limit, 0, clock.clone());
            let budget = Arc::new(budget.with_witness(Arc::clone(&member) as Arc<_>));
            let mut membership = node.membership(new.unwrap(), Some(Arc::clone(&budget)));
            let task = membership.task.take().unwrap();
            tasks.push(tokio::spawn(task.run(CancellationToken::new())));
            accounts.push((member, budget));
        }
        Self {
            accounts,
            tasks,
            _node: Arc::new(node),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Waits until each account has a leader. Returns their budgets.
async fn leaders(peers: &[Peer]) -> Vec<Arc<Budget>> {
    let leader = |case: usize| {
        let mut accounts = peers.iter().map(|peer| &peer.accounts[case]);
        let (_, budget) = accounts.find(|(member, _)| member.leads())?;
        Some(Arc::clone(budget))
    };
    // A busy machine takes several leases.
    let until = Instant::now() + SHORT * 20;
    loop {
        let found: Vec<_> = (0..CASES.len()).map(leader).collect();
        let cases = CASES.iter().zip(&found);
        let without: Vec<_> = cases.filter(|(_, found)| found.is_none()).collect();
        if without.is_empty() {
            return found.into_iter().flatten().collect();
        }
        assert!(Instant::now() < until, "without a leader: {without:#?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Sends as many requests as the hour has left, at most `most`. Returns how many that were.
async fn spend(budget: &Budget, most: u32) -> u32 {
    for sent in 0..most {
        match budget.permit(Purpose::OnDemand).await {
            Ok(permit) => permit.answered(),
            Err(_) => return sent,
        }
    }
    most
}

async fn spoil(connection: &mut MultiplexedConnection, key: &str, what: &str) {
    let raw = |word: &str| -> Vec<u8> {
        let raw = word.bytes().map(|byte| match byte {
            b'~' => 0xff,
            b'+' => b' ',
            byte => byte,
        });
        raw.collect()
    };
    let stays = what.strip_prefix('=');
    let mut words = stays.unwrap_or(what).split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    command.arg(key);
    for word in words {
        command.arg(raw(word));
    }
    if stays.is_none() {
        let delete = redis::cmd("DEL").arg(key).to_owned();
        let () = delete.query_async(connection).await.unwrap();
    }
    let _: redis::Value = command.query_async(connection).await.unwrap();
}

#[tokio::test]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn an_account_goes_on_with_its_hour_whatever_key_another_user_spoils() {
    let server = LocalEngine::start().expect("redis-server, of Debian's package of that name");
    let (logged, _guard) = listen();
    let mut peers = vec![Peer::start(&server, "one")];
    leaders(&peers).await;
    peers.push(Peer::start(&server, "two"));
    sleep(SHORT).await;
    for budget in leaders(&peers).await {
        assert_eq!(spend(&budget, SENT).await, SENT);
    }
    sleep(SHORT).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for (case, (key, what, _)) in CASES.iter().enumerate() {
        let account = peers[0].accounts[case].0.key();
        spoil(&mut connection, &format!("p:{{{account}}}:{key}"), what).await;
    }
    spoil(&mut connection, "p:{registry}:accounts", "SADD x").await;
    let before = logged.lines().len();
    // Only who writes finds out about these.
    let refuse_entries = |case: &usize| CASES[*case].1.contains("XSETID");
    for case in (0..CASES.len()).filter(refuse_entries) {
        for peer in &peers {
            let entry = Entry {
                doubted: true,
                ..Entry::default()
            };
            peer.accounts[case].0.publish_and_wait(entry).await;
        }
    }
    // It reads all keys, some of which other nodes have no reason to read.
    peers.push(Peer::start(&server, "late"));
    // As long as a leader with a healthy lease may act, and another node waits to take one.
    sleep(SHORT * 4).await;
    leaders(&peers).await;
    sleep(SHORT).await;
    // The last node knows only what it has read.
    peers.drain(..2);
    let mut wrong = Vec::new();
    for (case, budget) in leaders(&peers).await.iter().enumerate() {
        let left = spend(budget, LIMIT).await;
        if left != LIMIT - SENT {
            wrong.push(format!("{:?}: {left} left", CASES[case]));
        }
    }
    let lines = logged.lines().split_off(before);
    for (case, (key, what, is_new)) in CASES.iter().enumerate() {
        let account = format!("account=\"case-{case}\"");
        let about = |words: &str| {
            let of_case = lines.iter().filter(|line| line.contains(&account));
            of_case.filter(|line| line.contains(words)).count()
        };
        let discarded = about("data about the account was spoilt");
        let lost = about("rest of the hour");
        if discarded != usize::from(*is_new) || lost > 0 {
            wrong.push(format!("{key} {what}: {discarded} discarded, {lost} lost"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}: {lines:#?}");
    let count = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert_eq!(count("register of accounts was spoilt"), 1, "{lines:#?}");
    assert_eq!(count("engine is lost"), 0, "{lines:#?}");
    // A node that starts alone finds a spoilt key before it knows the data set.
    let accounts = peers[0].accounts.iter();
    let keys: Vec<_> = accounts
        .map(|(member, _)| member.key().to_owned())
        .collect();
    peers.clear();
    for account in keys {
        let nodes = format!("p:{{{account}}}:nodes");
        spoil(&mut connection, &nodes, "SADD x").await;
    }
    peers.push(Peer::start(&server, "last"));
    for budget in leaders(&peers).await {
        assert_eq!(
            budget.usage().used,
            LIMIT,
            "the log that it discarded had an hour"
        );
    }
}
