use super::*;

#[test]
fn a_queue_that_leaves_the_config_stays_while_other_nodes_have_it() {
    let (sales, support) = (
        QueueKey::new("main", "sales"),
        QueueKey::new("main", "support"),
    );
    let board = Board::new([sales.clone(), support.clone()]);
    board.identify(&support, 7, Some("support".into()));
    board.set_queues([sales.clone()]);
    for key in [&sales, &support] {
        board.host(key);
    }
    board.drop_stale(&[]);
    assert_eq!(board.get(&support).and_then(|state| state.id), Some(7));
    for asked in ["support", "7"] {
        let found = board.find(None, asked);
        assert!(
            matches!(found, Err(NotOnBoard::Unknown { .. })),
            "{found:?}"
        );
    }
    // A queue of the config is no guest.
    board.drop_guest(&sales);
    assert_eq!(board.find(None, "sales"), Ok(sales));
    // In the config again, it has a name again.
    board.set_queues([support.clone()]);
    board.host(&support);
    assert_eq!(board.find(None, "support"), Ok(support.clone()));
    board.set_queues([]);
    board.host(&support);
    board.drop_guest(&support);
    assert!(board.get(&support).is_none());
}
