use super::*;

fn find(board: &Board, account: Option<&str>, asked: &str) -> Result<QueueKey, NotOnBoard> {
    board.find(account, asked, |_| true)
}

#[test]
fn while_two_configs_are_on_the_board_each_finds_its_own_queues() {
    let [name, id, renamed] = [("main", "sales"), ("main", "5450"), ("acme", "sales")]
        .map(|(account, queue)| QueueKey::new(account, queue));
    let board = Board::new([name.clone()]);
    board.identify(&name, 5450, Some("sales".into()));
    for next in [&id, &renamed] {
        board.set_queues([next.clone()]);
        board.identify(next, 5450, Some("sales".into()));
        for asked in ["sales", "5450"] {
            for mine in [&name, next] {
                let found = board.find(None, asked, |key| key == mine);
                assert_eq!(found.as_ref(), Ok(mine), "{asked}");
            }
        }
    }
}

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
    board.retire_stale(&[]);
    board.drop_retired();
    assert_eq!(board.get(&support).and_then(|state| state.id), Some(7));
    for asked in ["support", "7"] {
        let found = find(&board, None, asked);
        assert!(
            matches!(found, Err(NotOnBoard::Unknown { .. })),
            "{found:?}"
        );
    }
    // A queue of the config is no guest.
    board.drop_guest(&sales);
    assert_eq!(find(&board, None, "sales"), Ok(sales));
    // In the config again, it has a name again.
    board.set_queues([support.clone()]);
    board.host(&support);
    assert_eq!(find(&board, None, "support"), Ok(support.clone()));
    board.set_queues([]);
    board.host(&support);
    board.drop_guest(&support);
    assert!(board.get(&support).is_none());
}

#[test]
fn a_removed_queue_stays_for_requests_in_progress_and_comes_back_empty() {
    let [sales, support] = ["sales", "support"].map(|queue| QueueKey::new("main", queue));
    let id_of = |board: &Board| board.get(&sales).map(|state| state.id);
    let removed = || {
        let board = Board::new([sales.clone(), support.clone()]);
        board.identify(&sales, 5450, None);
        board.set_queues([support.clone()]);
        board.retire_stale(&[]);
        assert_eq!(id_of(&board), Some(Some(5450)));
        assert!(find(&board, None, "5450").is_err());
        board
    };
    let board = removed();
    board.drop_retired();
    assert_eq!(id_of(&board), None);
    let board = removed();
    board.set_queues([sales.clone(), support.clone()]);
    assert_eq!(id_of(&board), Some(None));
    // Nobody waits for its end any longer.
    board.drop_retired();
    assert_eq!(id_of(&board), Some(None));
    let board = removed();
    board.host(&sales);
    board.set_queues([sales.clone(), support.clone()]);
    board.drop_retired();
    assert_eq!(id_of(&board), Some(Some(5450)));
    // Another reload removes another queue. Requests of both earlier configs may be in progress.
    let board = removed();
    board.set_queues([]);
    board.retire_stale(&[]);
    assert_eq!(id_of(&board), Some(Some(5450)));
    board.drop_retired();
    assert_eq!(id_of(&board), None);
}

#[test]
fn the_spelling_of_the_config_comes_before_what_calltools_calls_a_queue() {
    let (by_name, by_id) = (
        QueueKey::new("main", "sales-queue"),
        QueueKey::new("main", "5450"),
    );
    let (other, far) = (
        QueueKey::new("main", "Sales-Queue"),
        QueueKey::new("second", "support"),
    );
    let board = Board::new([by_name.clone(), by_id.clone(), other.clone(), far.clone()]);
    board.identify(&by_name, 5450, Some("sales-queue".into()));
    board.identify(&by_id, 5450, Some("sales-queue".into()));
    board.identify(&far, 5450, Some("sales-queue".into()));
    assert_eq!(find(&board, None, "sales-queue"), Ok(by_name.clone()));
    assert_eq!(find(&board, Some("main"), "5450"), Ok(by_id.clone()));
    assert_eq!(find(&board, None, "5450"), Ok(by_id.clone()));
    assert_eq!(find(&board, Some("second"), "5450"), Ok(far.clone()));
    // Without such a spelling in the config, the request has to choose.
    for (key, id) in [(&by_name, 5451), (&other, 5451), (&far, 5452)] {
        board.becomes_another(key);
        board.identify(key, id, Some("Sales Queue".into()));
    }
    let said = |account, asked: &str| {
        board
            .find(account, asked, |_| true)
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        said(None, "5451").unwrap_err(),
        "2 queues in the config of account \"main\" are CallTools' queue \"5451\": ask for one of main/sales-queue, main/Sales-Queue"
    );
    assert_eq!(
        said(None, "Sales Queue").unwrap_err(),
        "several accounts have a queue \"Sales Queue\": ask for one of main/sales-queue, main/Sales-Queue, second/support"
    );
}

#[test]
fn calltools_names_of_a_queue_are_forgotten_with_its_account() {
    let (main, acme) = (
        QueueKey::new("main", "sales"),
        QueueKey::new("acme", "sales"),
    );
    let names = ["5450", "Sales"];
    let is_unknown = |found| matches!(found, Err(NotOnBoard::Unknown { .. }));
    // The name of the account now means another one.
    let board = Board::new([main.clone()]);
    board.identify(&main, 5450, Some("Sales".into()));
    board.forget(&main);
    board.retire_stale(&[]);
    board.drop_retired();
    for name in names {
        assert!(is_unknown(find(&board, None, name)), "{name}");
    }
    assert_eq!(find(&board, None, "sales"), Ok(main.clone()));
    // The account has another name, and a new account has its former one.
    let board = Board::new([main.clone()]);
    board.identify(&main, 5450, Some("Sales".into()));
    board.set_queues([main.clone(), acme.clone()]);
    board.carry(&[(main.clone(), acme.clone())]);
    board.forget(&main);
    board.retire_stale(&[]);
    board.drop_retired();
    for name in names {
        assert_eq!(find(&board, None, name).as_ref(), Ok(&acme), "{name}");
    }
}
