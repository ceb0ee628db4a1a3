//! What pages cost decisions, what they show, and that every read ends.

use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::{
    account::{Emptied, PresentFault},
    fixtures::{agent, available},
    model::fault::Down,
    state::{State, history::fixtures::recorded},
};

pub(super) const PERSON: &str = "Accept: text/html,application/xhtml+xml\r\n";
pub(super) const OVERVIEW: &str = "/";
pub(super) const QUEUE: &str = "/queues/main/sales";

/// Long enough for any machine, and much shorter than the awaited work would take without a limit.
const TIMEOUT: Duration = Duration::from_secs(60);

impl Server {
    pub(super) async fn page(&self, target: &str) -> Answer {
        self.ask("GET", target, PERSON).await
    }

    /// Requests a page and lets this much time pass while it is read.
    async fn page_after(&self, target: &str, begun: Duration) -> Answer {
        let time_passes = async {
            until(|| self.pages().history.at_work() > 0).await;
            tokio::time::sleep(begun).await;
            self.clock.pass(Duration::from_secs(1));
            std::future::pending().await
        };
        tokio::select! {
            page = self.page(target) => page,
            () = time_passes => unreachable!("the loop has no end"),
        }
    }

    pub(super) async fn words(&self, target: &str) -> String {
        let page = self.page(target).await;
        assert_eq!(page.status, 200, "{page:?}");
        text(&page.body)
    }
}

/// The text of a page, without its markup.
pub(super) fn text(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once('<') {
        text += before;
        rest = after.split_once('>').map_or("", |(_, rest)| rest);
    }
    text + rest
}

fn tag(answer: &Answer) -> String {
    answer.header("etag").expect("a tag").to_owned()
}

// --- rendered once -----------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_page_is_rendered_once_per_change() {
    let mut world = World::with(&["main/sales", "main/support"]);
    let _ends = world.account("main", TOKEN);
    world.publish("main/sales", available(2));
    let server = world.serve().await;
    for target in [OVERVIEW, QUEUE] {
        let first = server.page(target).await;
        // The same page, even a little later.
        for _ in 0..3 {
            server.clock.pass(Duration::from_millis(300));
            let again = server.page(target).await;
            assert_eq!(again.body, first.body);
            assert_ne!(again.header("openseat-now"), first.header("openseat-now"));
        }
        server.clock.pass(Duration::from_secs(1));
        let later = server.page(target).await;
        assert_ne!(later.body, first.body, "its time of day has changed");
        if target == OVERVIEW {
            assert_eq!(tag(&later), tag(&first), "the content is the same");
        }
    }
    // A page requested after a change shows it, even if no time has passed.
    for count in [5, 3, 0, 7] {
        let now = server.clock.now();
        server
            .board
            .publish(&key("main/sales"), snapshot(now, available(count)), now);
        for target in [OVERVIEW, QUEUE] {
            let page = server.page(target).await.body;
            let number = format!(r#"<span class="number">{count}</span>"#);
            assert!(page.contains(&number), "{target} {count}: {page}");
        }
    }
}

#[tokio::test]
async fn a_page_that_the_browser_has_is_not_sent_again() {
    let mut world = World::with(&["main/sales"]);
    let _ends = world.account("main", TOKEN);
    world.publish("main/sales", available(2));
    let server = world.serve().await;
    let page = server.page(OVERVIEW).await;
    let known = format!("{PERSON}If-None-Match: {}\r\n", tag(&page));
    server.clock.pass(Duration::from_secs(5));
    let again = server.ask("GET", OVERVIEW, &known).await;
    assert_eq!((again.status, &*again.body), (304, ""));
    // Ages continue to grow: the script computes them from this time.
    let now = |answer: &Answer| -> u64 {
        let now = answer.header("openseat-now").expect("the time");
        now.parse().expect("a number")
    };
    assert_eq!(now(&again), now(&page) + 5_000);
    server.clock.pass(MAX_AGE);
    let old = server.ask("GET", OVERVIEW, &known).await;
    assert_eq!(old.status, 200);
    assert!(old.body.contains("too old to answer from"));
}

#[tokio::test]
async fn a_page_contains_times_and_no_ages() {
    let mut world = World::with(&["main/sales"]);
    let ends = world.account("main", TOKEN);
    world.publish("main/sales", available(2));
    let until = world.clock.now().later(Duration::from_secs(2_573));
    world.board.fault(
        &key("main/sales"),
        Some(Arc::new(Fault::BudgetSpent { until })),
    );
    let since = world.clock.now();
    ends.health.send_replace(Health {
        fault: Some(PresentFault {
            fault: Arc::new(Fault::BudgetSpent { until }),
            since,
        }),
        ..Health::default()
    });
    let server = world.serve().await;
    for target in [OVERVIEW, QUEUE] {
        let first = server.words(target).await;
        server.clock.pass(Duration::from_secs(30));
        let later = server.words(target).await;
        for page in [first, later] {
            assert!(page.contains("as of 10:00:00 UTC"), "{page}");
            assert!(!page.contains("2573"), "{page}");
            assert!(!page.contains(" ago") && !page.contains(" s old"), "{page}");
        }
    }
}

// --- what it says --------------------------------------------------------------------------------------------------------------

fn refused() -> Fault {
    Fault::down(Down::Refused, "connection refused")
}

/// A world of one account with two queues.
fn two_queues() -> (World, AccountEnds) {
    let mut world = World::with(&["main/sales", "main/support"]);
    let ends = world.account("main", TOKEN);
    (world, ends)
}

#[tokio::test]
async fn the_headline_promises_no_more_than_is_known() {
    let never = "No poll has finished yet. The first answers are on their way.";
    let nothing = "2 queues unknown: calls to them are rejected.";
    let all = "All answers are based on data from 10:00:00 UTC or later.";

    let (world, _ends) = two_queues();
    let words = world.serve().await.words(OVERVIEW).await;
    assert!(
        words.contains(never) && !words.contains("Problems"),
        "{words}"
    );

    let (world, _ends) = two_queues();
    for queue in ["main/sales", "main/support"] {
        world.publish(queue, available(2));
    }
    let server = world.serve().await;
    let words = server.words(OVERVIEW).await;
    assert!(
        words.contains(all) && !words.contains("Problems"),
        "{words}"
    );
    assert!(words.contains("2 of 2 queues accept calls"), "{words}");

    // The data is still usable but polls fail: the headline says both.
    server.clock.pass(Duration::from_secs(48));
    for queue in ["main/sales", "main/support"] {
        server.board.fault(&key(queue), Some(Arc::new(refused())));
    }
    let words = server.words(OVERVIEW).await;
    assert!(
        words.contains(all) && words.contains("Problems are listed below."),
        "{words}"
    );
    assert!(
        words.contains("Connection refused") && words.contains("To do: Check the network"),
        "{words}"
    );
    assert!(
        words.contains("All of them still answer from earlier data."),
        "{words}"
    );
    assert!(!words.contains("just now"), "{words}");

    server.clock.pass(MAX_AGE);
    let words = server.words(OVERVIEW).await;
    assert!(
        words.contains(nothing) && !words.contains("All answers"),
        "{words}"
    );
    assert!(words.contains("0 of 2 queues accept calls"), "{words}");

    let (world, _ends) = two_queues();
    world.publish("main/sales", available(1));
    world.fail("main/support", Fault::NoPermission);
    let words = world.serve().await.words(OVERVIEW).await;
    assert!(words.contains("1 of 2 queues accepts calls"), "{words}");
    assert!(
        words.contains("1 queue unknown: calls to it are rejected."),
        "{words}"
    );
    assert!(
        words.contains("All other answers are based on data from"),
        "{words}"
    );
}

#[tokio::test]
async fn a_fault_of_the_account_is_shown_once_with_what_to_do() {
    for (fault, expected) in [
        (Fault::BadToken, "CallTools does not accept the token"),
        (
            Fault::Throttled { until: None },
            "Others spend from this account",
        ),
        (
            Fault::BudgetSpent {
                until: Still::new().now(),
            },
            "requests for this hour are spent",
        ),
        (refused(), "Connection refused"),
    ] {
        let (world, ends) = two_queues();
        let fault = Arc::new(fault);
        for queue in ["main/sales", "main/support"] {
            world.board.fault(&key(queue), Some(Arc::clone(&fault)));
        }
        let present = PresentFault {
            fault: Arc::clone(&fault),
            since: world.clock.now(),
        };
        ends.health.send_replace(Health {
            fault: Some(present),
            ..Health::default()
        });
        let server = world.serve().await;
        let page = server.page(OVERVIEW).await.body;
        assert_eq!(page.matches(r#"<li class="trouble">"#).count(), 1, "{page}");
        let words = text(&page);
        assert!(words.contains(expected), "{words}");
        assert!(
            words.contains("To do: ")
                && words.contains("main, since 22 Nov, 10:00:00 UTC: sales, support. "),
            "{words}"
        );
        assert!(!words.contains(".."), "{words}");
    }
}

#[tokio::test]
async fn a_spent_budget_is_red_and_explained_in_whole_sentences() {
    let (world, ends) = two_queues();
    let now = world.clock.now();
    let present = PresentFault {
        fault: Arc::new(Fault::BudgetSpent {
            until: now.later(MAX_AGE),
        }),
        since: now,
    };
    let server = world.serve().await;
    let page = server.page(OVERVIEW).await.body;
    assert!(page.contains(r#"<meter class="well""#), "{page}");
    assert!(
        text(&page).contains("50 in reserve. One request is sent every "),
        "{page}"
    );
    ends.health.send_replace(Health {
        fault: Some(present),
        ..Health::default()
    });
    server.clock.pass(Duration::from_secs(2));
    let page = server.page(OVERVIEW).await.body;
    assert!(page.contains(r#"<meter class="spent""#), "{page}");
    assert!(
        text(&page).contains("The hour’s requests are spent: next request at 10:01:30 UTC."),
        "{page}"
    );

    let account = &server.app.accounts[0];
    account.budget.throttled(Some(Duration::from_secs(600)));
    server.clock.pass(Duration::from_secs(2));
    let words = server.words(OVERVIEW).await;
    let silence = "CallTools asked for a pause: next request at 10:10:";
    assert!(words.contains(silence), "{words}");
    let others = " UTC. Other software uses this account’s requests too, so openseat polls at ";
    assert!(words.contains(others), "{words}");
    // There is no data to answer from here.
    assert!(!words.contains("still answer"), "{words}");
    assert!(!words.contains(".."), "{words}");
}

#[tokio::test]
async fn lists_that_became_empty_at_once_are_shown_with_time_and_number() {
    let (world, ends) = two_queues();
    world.publish("main/sales", Vec::new());
    world.publish("main/support", available(1));
    let emptied = Emptied {
        since: world.clock.now(),
        agents_before: 120,
    };
    let server = world.serve().await;
    let words = server.words(OVERVIEW).await;
    assert!(!words.contains("has any agents"), "{words}");
    ends.health.send_replace(Health {
        emptied: Some(emptied),
        ..Health::default()
    });
    server.clock.pass(Duration::from_secs(2));
    let words = server.words(OVERVIEW).await;
    let expected =
        "All lists became empty at once: 22 Nov, 10:00:00 UTC. There were 120 agents before.";
    assert!(
        words.contains("No queue of main has any agents") && words.contains(expected),
        "{words}"
    );
    ends.health.send_replace(Health::default());
    server.clock.pass(Duration::from_secs(2));
    let words = server.words(OVERVIEW).await;
    assert!(!words.contains("has any agents"), "{words}");
}

#[tokio::test]
async fn an_account_without_agents_is_a_problem_and_statuses_keep_their_colours() {
    let (world, _ends) = two_queues();
    for queue in ["main/sales", "main/support"] {
        world.publish(queue, Vec::new());
    }
    let server = world.serve().await;
    let words = server.words(OVERVIEW).await;
    assert!(words.contains("No queue of main has any agents"), "{words}");
    let publish = |agents: Vec<Agent>| {
        let now = server.clock.now();
        server
            .board
            .publish(&key("main/sales"), snapshot(now, agents), now);
    };
    let colour = async || {
        let page = server.page(QUEUE).await.body;
        let (before, _) = page
            .split_once("<bdi>Lunch</bdi>")
            .expect("an agent is at lunch");
        let (_, class) = before.rsplit_once("swatch ").expect("a colour");
        class.split('"').next().map(str::to_owned)
    };
    publish(vec![agent("1", "Ann", "Lunch")]);
    let alone = colour().await;
    for others in [
        &["Break"][..],
        &["Aaa", "Zzz", "Meeting"],
        &["Available", "On a Call"],
    ] {
        let mut agents: Vec<_> = others.iter().map(|one| agent(one, "Bob", one)).collect();
        agents.push(agent("1", "Ann", "Lunch"));
        publish(agents);
        assert_eq!(colour().await, alone, "{others:?}");
    }
    let words = server.words(OVERVIEW).await;
    assert!(!words.contains("has any agents"), "{words}");
}

// --- history --------------------------------------------------------------------------------------------------------------

/// A queue with a history, and a server whose clock stands still: no deadline passes unless the test moves the clock.
pub(super) async fn with_history(polls: usize) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::with(&["main/sales"]);
    let path = folder.path().join("history.sqlite3");
    let recorder = recorded(&path, &world.clock, &key("main/sales"), polls, 40);
    let clock: Arc<dyn Clock> = world.clock.clone();
    let none = State::open(None, 0, &clock);
    let state = State {
        history: Some(Arc::new(recorder)),
        ..none.await.expect("no folder is needed")
    };
    world.state = Some(Arc::new(state));
    world.publish("main/sales", available(40));
    (world.serve().await, folder)
}

/// A rule that takes some tenths of a second for each recorded reading.
const SLOW: &str = "/queues/main/sales?range=24h&value=1&field=%24.results%5B%3Fcount(%24.results%5B%3Fcount(%24.results%5B%3F%40.status%3D%3D%27x%27%5D)%3E0%5D)%3E0%5D";

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, wait)
        .await
        .expect("timed out");
}

#[tokio::test]
async fn a_trial_that_takes_too_long_ends_with_a_message() {
    let (server, _folder) = with_history(200).await;
    // The second must pass while the rule is tried, and not before. Nothing outside shows that moment, so the test searches for it.
    let mut page = server.page_after(SLOW, Duration::from_millis(25)).await;
    for ms in [50, 100, 200, 400, 800, 1_600, 3_200] {
        if !page.body.contains("The history cannot be shown") {
            break;
        }
        page = server.page_after(SLOW, Duration::from_millis(ms)).await;
    }
    let words = text(&page.body);
    assert_eq!(page.status, 200, "{words}");
    assert!(words.contains("No result: reading it took longer than 1 s and was stopped. Choose a shorter time above or a simpler field."), "{words}");
    // The rest of the page is shown.
    assert!(words.contains("Seats between 40 and 41"), "{words}");
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_not_said_to_be_empty() {
    let (server, folder) = with_history(2).await;
    let path = folder.path().join("history.sqlite3");
    std::fs::write(path, "not a database".repeat(100)).expect("the file can be written");
    let words = server.words(QUEUE).await;
    for text in [
        "The history cannot be shown: the history cannot be read: ",
        "No rule can be tried now: the history cannot be read: ",
    ] {
        assert!(words.contains(text), "{words}");
    }
}

#[tokio::test]
async fn reads_stop_when_their_client_has_gone() {
    let (server, _folder) = with_history(200).await;
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let mut client = server.connect().await;
        let request = format!("GET {SLOW} HTTP/1.1\r\nHost: localhost\r\n{PERSON}\r\n");
        client
            .write_all(request.as_bytes())
            .await
            .expect("the request is sent");
        until(|| server.pages().history.at_work() > 0).await;
        let disconnected = tokio::time::Instant::now();
        drop(client);
        // The clock stands still, so no deadline ends it.
        until(|| server.pages().history.at_work() == 0).await;
        fastest = fastest.min(disconnected.elapsed());
    }
    // The limit for a connected client is 5 s, so that does not end them either. A pause may delay one of them.
    assert!(fastest < Duration::from_secs(4), "{fastest:?}");
}

#[tokio::test]
async fn trials_do_not_hold_up_other_pages() {
    let (server, _folder) = with_history(200).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = server.connect().await;
        let request = format!("GET {SLOW} HTTP/1.1\r\nHost: localhost\r\n{PERSON}\r\n");
        client
            .write_all(request.as_bytes())
            .await
            .expect("the request is sent");
        clients.push(client);
    }
    until(|| server.pages().history.at_work() > 0).await;
    // All at once: pages that waited until the trials' limit of 5 s would all be late. A pause may delay some of them.
    let asked = tokio::time::Instant::now();
    let pages = [QUEUE, "/v1/queues/sales/chart.svg", OVERVIEW].map(async |target| {
        let page = server.page(target).await;
        assert_eq!(page.status, 200, "{page:?}");
        asked.elapsed()
    });
    let took = futures_util::future::join_all(pages).await;
    assert!(
        took.iter().min() < Some(&Duration::from_secs(4)),
        "{took:?}"
    );
    // No more than one trial still runs; on a slow machine their limit may have ended them all.
    until(|| server.pages().history.at_work() <= 1).await;
}

#[tokio::test]
async fn without_threads_pages_answer_503_and_do_not_panic() {
    let (server, _folder) = with_history(1).await;
    server.pages().history.starve();
    let page = server.page(QUEUE).await;
    assert_eq!(page.status, 503, "{page:?}");
    let words = text(&page.body);
    assert!(
        words.contains("the system cannot start a thread"),
        "{words}"
    );
    assert_eq!(page.header("retry-after"), Some("2"));
    let chart = server.get("/v1/queues/sales/chart.svg").await;
    assert_eq!((chart.status, &*chart.problem()), (503, "busy"));
    // Cards are shown without sparklines.
    assert_eq!(server.page(OVERVIEW).await.status, 200);
}

#[tokio::test]
async fn without_records_the_chart_is_empty() {
    let (kept, _folder) = with_history(0).await;
    let forgetful = World::with(&["main/sales"]).serve().await;
    for server in [kept, forgetful] {
        for range in ["", "?range=1h", "?range=24h", "?range=7d"] {
            let chart = server
                .get(&format!("/v1/queues/sales/chart.svg{range}"))
                .await;
            assert_eq!(
                (chart.status, chart.header("content-type")),
                (200, Some("image/svg+xml"))
            );
            assert!(chart.body.contains("(nothing recorded)"), "{chart:?}");
            assert!(chart.body.contains(r#"class="gap""#), "{chart:?}");
            assert!(!chart.body.contains(r#"class="line""#), "{chart:?}");
        }
    }
}
