use super::*;
use crate::{account::PresentFault, fixtures::available, server::status_line};

#[tokio::test]
async fn the_line_shows_freshness_requests_and_faults() {
    let mut world = World::with(&["main/a", "main/b", "lab/c"]);
    let (_main, lab) = (world.account("main", TOKEN), world.account("lab", "b2"));
    let server = world.serve().await;
    let line = || status_line(&server.app);
    assert_eq!(line(), "0/3 queues fresh; main 0/1000, lab 0/1000 requests");
    let now = server.clock.now();
    let publish = |queue| {
        let snapshot = snapshot(now, available(1));
        server.board.publish(&key(queue), snapshot, now);
    };
    publish("main/a");
    publish("lab/c");
    server
        .board
        .fault(&key("main/b"), Some(Arc::new(Fault::BadToken)));
    let permit = server.app.accounts[0]
        .budget
        .permit(crate::budget::Purpose::Unpaced);
    let _permit = permit.await.expect("the budget is unspent");
    assert_eq!(
        line(),
        "2/3 queues fresh; main 1/1000, lab 0/1000 requests; bad_token in main"
    );
    // The fault shows before any queue of the account becomes stale.
    lab.health.send_modify(|health| {
        health.fault = Some(PresentFault {
            fault: Arc::new(Fault::Throttled { until: None }),
            since: now,
        });
    });
    assert_eq!(
        line(),
        "2/3 queues fresh; main 1/1000, lab 0/1000 requests; bad_token in main, throttled in lab"
    );
}

#[tokio::test]
async fn the_line_stays_one_short_line_with_many_odd_accounts() {
    let names: Vec<_> = (0..30).map(|n| format!("account\n{n}")).collect();
    let queues: Vec<_> = names.iter().map(|name| format!("{name}/a")).collect();
    let queues: Vec<_> = queues.iter().map(String::as_str).collect();
    let mut world = World::with(&queues);
    let _ends: Vec<_> = names
        .iter()
        .map(|name| world.account(name, TOKEN))
        .collect();
    for queue in queues {
        world.fail(queue, Fault::NoPermission);
    }
    let line = status_line(&world.serve().await.app);
    assert!(!line.contains(char::is_control), "{line:?}");
    assert_eq!(line.matches(" and 22 more").count(), 2, "{line}");
    // systemd accepts no message longer than 4096 bytes.
    assert!(line.len() < 2_000, "{line}");
}
