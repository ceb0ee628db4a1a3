//! `/v1/accounts`.

use super::*;
use crate::account::{
    Emptied, PresentFault,
    feeds::{Feed, FeedStanding, Standing},
};
use crate::{budget::Purpose, fixtures::available, model::fault::Down};

/// Two accounts; the second has two queues.
fn world() -> (World, [AccountEnds; 2]) {
    let mut world = World::with(&["main/sales", "other/day", "other/night"]);
    let ends = [
        world.account("main", TOKEN),
        world.account("other", "d4e5f6"),
    ];
    world.publish("main/sales", available(1));
    (world, ends)
}

#[tokio::test]
async fn each_account_shows_how_much_of_its_hour_is_spent() {
    let (world, _ends) = world();
    let budget = Arc::clone(&world.accounts[1].budget);
    let server = world.serve().await;
    let permit = budget
        .permit(Purpose::OnDemand)
        .await
        .expect("there is room");
    permit.answered();
    let accounts = server.get("/v1/accounts").await.json();
    let accounts = &accounts["accounts"];
    for (place, account, used, queues) in [(0, "main", 0, 1), (1, "other", 1, 2)] {
        let one = &accounts[place];
        assert_eq!(one["account"], account);
        assert_eq!(
            (&one["used"], &one["queues"]),
            (&used.into(), &queues.into())
        );
        assert_eq!(
            (&one["requests_per_hour"], &one["reserve"]),
            (&1000.into(), &50.into())
        );
        assert_eq!((&one["share"], &one["sweeps"]), (&1.0.into(), &true.into()));
        assert_eq!(one["throttled_until"], Value::Null);
    }
    let refused = server.get("/v1/accounts?threshold=2").await;
    assert_eq!(
        (refused.status, &*refused.problem()),
        (400, "bad-parameter")
    );
}

#[tokio::test]
async fn a_fault_that_all_queues_have_is_the_accounts() {
    let (world, _ends) = world();
    world.fail("other/day", Fault::BadToken);
    let server = world.serve().await;
    let faults = async || {
        let accounts = server.get("/v1/accounts").await.json();
        let other = &accounts["accounts"][1];
        (
            other["faulty_queues"].clone(),
            other["fault"]["kind"].clone(),
        )
    };
    let fail = |queue, fault| server.board.fault(&key(queue), Some(Arc::new(fault)));
    assert_eq!(faults().await, (1.into(), Value::Null));
    fail(
        "other/night",
        Fault::UpstreamDown {
            kind: Down::TimeOut,
            detail: "slow".into(),
            wait: None,
        },
    );
    assert_eq!(
        faults().await,
        (2.into(), Value::Null),
        "two of different kinds"
    );
    fail("other/night", Fault::BadToken);
    assert_eq!(faults().await, (2.into(), "bad_token".into()));
}

#[tokio::test]
async fn the_pace_of_an_idle_account_is_the_present_one() {
    let mut world = World::with(&["main/a"]);
    let ends = world.account("main", "t");
    let server = world.serve().await;
    let account = async || server.get("/v1/accounts").await.json()["accounts"][0].clone();
    let pace = async || {
        account().await["request_every_ms"]
            .as_u64()
            .expect("a time")
    };
    assert_eq!(account().await["idle"], false);
    let full = pace().await;
    ends.health.send_modify(|health| health.idle = Some(4.0));
    assert_eq!(account().await["idle"], true);
    assert!(pace().await.abs_diff(4 * full) <= 4, "{full}");
}

#[tokio::test]
async fn a_fault_of_the_account_is_shown_with_its_start() {
    let mut world = World::with(&["main/a", "main/b"]);
    let ends = world.account("main", "t");
    let server = world.serve().await;
    let account = async || server.get("/v1/accounts").await.json()["accounts"][0].clone();
    assert_eq!(account().await["fault_since"], Value::Null);
    let present = PresentFault {
        fault: Arc::new(Fault::BadToken),
        since: server.clock.now(),
    };
    ends.health
        .send_modify(|health| health.fault = Some(present));
    let shown = account().await;
    assert_eq!(shown["fault"]["kind"], "bad_token");
    assert_eq!(shown["fault_since"], server.clock.now().rfc3339());
    assert_eq!(
        shown["faulty_queues"], 0,
        "which counts only queues' own faults"
    );
    let metrics = server.get("/metrics").await.body;
    let line = "openseat_account_fault{account=\"main\",kind=\"bad_token\"} 1.0";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn lists_that_are_all_empty_show_when_it_happened_and_how_many_agents_there_were() {
    let mut world = World::with(&["main/a"]);
    let ends = world.account("main", "t");
    let server = world.serve().await;
    let account = async || server.get("/v1/accounts").await.json()["accounts"][0].clone();
    assert_eq!(account().await["empty_since"], Value::Null);
    let since = server.clock.now();
    let emptied = Emptied {
        since,
        agents_before: 31,
    };
    ends.health
        .send_modify(|health| health.emptied = Some(emptied));
    let shown = account().await;
    assert_eq!(shown["empty_since"], since.rfc3339());
    assert_eq!(shown["agents_before"], 31);
    let page = server.ask("GET", "/", "Accept: text/html\r\n").await.body;
    assert!(page.contains("There were 31 agents before"), "{page}");
}

#[tokio::test]
async fn the_metric_shows_which_feed_is_in_use() {
    let mut world = World::with(&["main/a"]);
    let ends = world.account("main", "t");
    let server = world.serve().await;
    for in_use in [Feed::Delta, Feed::Available, Feed::Sweep, Feed::Queues] {
        ends.health.send_modify(|health| health.feed = in_use);
        let metrics = server.get("/metrics").await.body;
        let samples = metrics.lines();
        let samples = samples.filter(|line| line.starts_with("openseat_feed{"));
        let expected = [Feed::Delta, Feed::Available, Feed::Sweep, Feed::Queues].map(|feed| {
            let value = if feed == in_use { "1.0" } else { "0.0" };
            let feed = feed.as_str();
            format!("openseat_feed{{account=\"main\",feed=\"{feed}\"}} {value}")
        });
        assert_eq!(samples.collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn each_feed_is_shown_with_its_standing_and_why() {
    let mut world = World::with(&["main/a"]);
    let ends = world.account("main", "t");
    let server = world.serve().await;
    let account = async || server.get("/v1/accounts").await.json()["accounts"][0].clone();
    assert_eq!(account().await["feeds"], serde_json::json!([]));
    let until = server.clock.now().later(Duration::from_secs(3_600));
    let stands = |feed, standing, until, why: &'static str| FeedStanding {
        feed,
        standing,
        why: why.into(),
        until,
        requests: Some(8),
    };
    ends.health.send_modify(|health| {
        health.feeds = vec![
            stands(Feed::Delta, Standing::Distrusted, Some(until), "it <lies>"),
            stands(Feed::Available, Standing::NoGain, None, "nothing to gain"),
            stands(Feed::Sweep, Standing::InUse, None, "the best that is left"),
        ];
    });
    let feeds = account().await["feeds"].clone();
    let expected = serde_json::json!({
        "feed": "delta", "standing": "distrusted", "why": "it <lies>", "until": until.rfc3339(), "requests": 8,
    });
    assert_eq!(feeds[0], expected);
    assert_eq!(feeds[2]["until"], Value::Null);
    let page = server.ask("GET", "/", "Accept: text/html\r\n").await.body;
    let expected = format!(
        "Statuses come from sweeps of the account. Not used until {} UTC: the list of changes (it &lt;lies&gt;).",
        until.timestamp().strftime("%H:%M:%S")
    );
    assert!(page.contains(&expected), "{page}");
    assert!(!page.contains("nothing to gain"), "{page}");
}
