//! Tests nodes whose stores have lists of queues from an earlier time.

use super::*;

/// Longer than stored names are used without a new reading.
const OLD: Duration = Duration::from_secs(31 * 60);

/// Starts a CallTools whose queues the config has by name, and lets one node lead long enough to store their names in this folder.
async fn stored(folder: &tempfile::TempDir) -> (Fixture, Arc<Exchange>) {
    let setting = Setting {
        by_name: true,
        ..still(2, 20)
    };
    let (mut fixture, exchange) = (setting.start(), Exchange::new());
    fixture.task.abort();
    fixture.store = open(&fixture, folder);
    let node = Running::start(&fixture, &exchange, "one");
    node.until_it_leads().await;
    sleep(MINUTE).await;
    node.stop.cancel();
    sleep(SECOND).await;
    let store = fixture.store.take().unwrap();
    // The disk may be slow.
    store.finish(20 * SECOND);
    (fixture, exchange)
}

fn open(fixture: &Fixture, folder: &tempfile::TempDir) -> Option<Arc<Store>> {
    let path = folder.path().join("state.sqlite3");
    let store = Store::open(&path, fixture.clock.clone()).unwrap();
    Some(Arc::new(store))
}

fn id(node: &Running, fixture: &Fixture, place: usize) -> Option<u64> {
    node.board.get(&fixture.keys[place]).unwrap().id
}

#[tokio::test(start_paused = true)]
async fn a_follower_whose_stored_names_are_old_knows_its_queues_by_the_leaders() {
    let folder = tempfile::tempdir().unwrap();
    let (mut fixture, exchange) = stored(&folder).await;
    sleep(OLD).await;
    let leader = Running::start(&fixture, &exchange, "two");
    leader.until_it_leads().await;
    fixture.store = open(&fixture, &folder);
    let follower = Running::start(&fixture, &exchange, "one");
    sleep(MINUTE).await;
    assert!(leader.member.leads() && !follower.member.leads());
    for place in fixture.places() {
        let decision = follower.decide(&fixture, place);
        assert!(decision.reason.is_known(), "{decision:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leads_again_goes_on_with_the_names_of_the_leader_before() {
    let folder = tempfile::tempdir().unwrap();
    let (mut fixture, exchange) = stored(&folder).await;
    fixture.swap_names();
    // The log has the names, too.
    sleep(OLD).await;
    let leader = Running::start(&fixture, &exchange, "two");
    leader.until_it_leads().await;
    sleep(MINUTE).await;
    fixture.store = open(&fixture, &folder);
    let heir = Running::start(&fixture, &exchange, "one");
    sleep(MINUTE).await;
    let swapped = [Some(fixture.ids[1]), Some(fixture.ids[0])];
    let ids = |node: &Running| [0, 1].map(|place| id(node, &fixture, place));
    assert_eq!((ids(&leader), ids(&heir)), (swapped, swapped));
    drop(leader);
    heir.until_it_leads().await;
    // Less than the half hour after which it reads the list again in any case.
    for _ in 0..20 * 60 {
        assert_eq!(ids(&heir), swapped);
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leads_with_the_names_that_it_stored_reads_no_list() {
    let folder = tempfile::tempdir().unwrap();
    let (mut fixture, exchange) = stored(&folder).await;
    fixture.store = open(&fixture, &folder);
    fixture.sent();
    let node = Running::start(&fixture, &exchange, "one");
    node.until_it_leads().await;
    sleep(MINUTE).await;
    let sent = fixture.sent();
    let lists = sent
        .iter()
        .filter(|path| path.starts_with("queues/") || path.starts_with("statuses/"));
    assert_eq!(lists.count(), 0, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_tells_no_names_that_are_too_old_to_use() {
    let folder = tempfile::tempdir().unwrap();
    let (mut fixture, _) = stored(&folder).await;
    fixture.swap_names();
    sleep(OLD).await;
    // In another engine no log has the names.
    let exchange = Exchange::new();
    fixture.store = open(&fixture, &folder);
    let leader = Running::start(&fixture, &exchange, "one");
    fixture.store = None;
    sleep(SECOND).await;
    let follower = Running::start(&fixture, &exchange, "two");
    for _ in 0..600 {
        let shown = id(&follower, &fixture, 0);
        assert!(shown.is_none_or(|id| id == fixture.ids[1]), "{shown:?}");
        sleep(SECOND / 20).await;
    }
    assert!(leader.member.leads() && !follower.member.leads());
    assert_eq!(id(&follower, &fixture, 0), Some(fixture.ids[1]));
}
