//! A large account: how soon after an answer of CallTools its change is in the answers to routers, and how long pages take meanwhile.

use std::{collections::HashMap, thread, time::Duration};

use openseat::model::agent::AgentId;
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{
    Row, Scale,
    account::Account,
    process::Daemon,
    scrapes::median,
    setting::Setting,
    upstream::{Answered, Upstream},
    viewers::{connect, decide, slowest},
};

const WHAT: &str = "300 queues, 10,000 agents";

/// A change that does not show by then does not change the count: another agent of the queue has changed, too.
const LONGEST: Duration = Duration::from_millis(200);

/// The pause between two questions. Without one, this and the thread that answers would keep both cores of a small machine from the account.
const BETWEEN: Duration = Duration::from_micros(300);

pub async fn crowd(
    scale: Scale,
    setting: &Setting,
    upstream: &Upstream,
    daemon: &Daemon,
) -> Vec<Row> {
    let account = &setting.accounts[0];
    let mut rows = Vec::new();
    for (path, measured) in [
        ("/metrics", "99th percentile of /metrics"),
        ("/", "99th percentile of the overview page"),
        ("/v1/queues", "99th percentile of /v1/queues"),
    ] {
        let mut took = Vec::new();
        for _ in 0..if scale.trial { 1 } else { 100 } {
            let begun = Instant::now();
            let text = daemon.text(path).await;
            assert!(!text.is_empty());
            took.push(begun.elapsed());
            // A page that is read again at once waits, so that pages never take much of a core.
            sleep(scale.time(1).min(Duration::from_millis(1_100))).await;
        }
        rows.push(row(measured, slowest(took), 50.0));
    }
    let took = changes(account, upstream, daemon, scale.time(120)).await;
    let median = median(took.clone());
    println!(
        "{} changes were followed; the median is {median:.1} ms",
        took.len()
    );
    rows.push(row(
        "99th percentile from CallTools' answer to the first answer with its change",
        slowest(took),
        // 5 ms for publishing; what comes before is reading and applying 250 rows.
        10.0,
    ));
    rows
}

fn row(measured: &'static str, value: f64, bound: f64) -> Row {
    Row {
        what: WHAT,
        measured,
        value,
        bound,
        unit: "ms",
    }
}

/// Follows one change of each answer, and returns how long each took.
async fn changes(
    account: &Account,
    upstream: &Upstream,
    daemon: &Daemon,
    time: Duration,
) -> Vec<Duration> {
    let (observer, mut answers) = mpsc::unbounded_channel();
    upstream.announce(account, observer);
    let address = daemon.url.replace("http://", "");
    let (mut known, mut took) = (HashMap::new(), Vec::new());
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        let Ok(Some(answered)) = timeout(left, answers.recv()).await else {
            break;
        };
        let Some(queue) = changed_queue(account, &answered, &mut known) else {
            continue;
        };
        let address = address.clone();
        let asking = tokio::task::spawn_blocking(move || follow(&address, queue, answered));
        took.extend(asking.await.expect("no panic"));
    }
    took
}

/// Returns a queue of an agent whose status is another one than in the last answer.
fn changed_queue(
    account: &Account,
    answered: &Answered,
    known: &mut HashMap<String, String>,
) -> Option<u64> {
    let list: Value = serde_json::from_slice(&answered.body).ok()?;
    let mut changed = None;
    for row in list["results"].as_array()? {
        let Some(agent) = row["app_user"].as_str() else {
            continue;
        };
        let status = row["agent_status"].to_string();
        let was = known.insert(agent.to_owned(), status.clone());
        if changed.is_none() && was.is_some_and(|was| was != status) {
            let id = AgentId(agent.into());
            let truth = account.simulator.world(|world| world.agent(&id));
            let queues = truth.map(|truth| truth.queues).unwrap_or_default();
            changed = queues
                .into_iter()
                .find_map(|(id, is_in)| is_in.then_some(id));
        }
    }
    changed
}

/// Lets the answer go, and asks until the queue's count is another one. Returns how long that took.
fn follow(address: &str, queue: u64, answered: Answered) -> Option<Duration> {
    let mut stream = connect(address).expect("the daemon listens");
    let mut count = || {
        let answer: Value = serde_json::from_slice(&decide(&mut stream, &queue)).expect("JSON");
        answer["count"].clone()
    };
    let before = count();
    let begun = Instant::now();
    drop(answered);
    while begun.elapsed() < LONGEST {
        if count() != before {
            return Some(begun.elapsed());
        }
        thread::sleep(BETWEEN);
    }
    None
}
