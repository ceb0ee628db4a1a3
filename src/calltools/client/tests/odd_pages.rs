//! Tests pages that are odd alone, and lists that are odd only as a whole.

use http::StatusCode;
use serde_json::{Value, json};

use super::{agents, page_of, reads, reply, sweep, world};
use crate::model::fault::Fault;

/// Reads everybody in a list of this many rows, the last of which are these.
async fn swept(rows: usize, last: Value) -> (u32, Option<&'static str>) {
    let mut list = agents(rows);
    let last: Vec<_> = last.as_array().unwrap().clone();
    list.truncate(rows - last.len());
    list.extend(last);
    let world = world(1000, move |page, _| Ok(page_of(&list, page, rows)));
    let (pages, fault) = sweep(&world).await;
    (pages, fault.as_ref().map(Fault::as_str))
}

#[tokio::test(start_paused = true)]
async fn odd_rows_on_a_short_last_page_are_judged_with_the_whole_list() {
    let nobody = || json!({"full_name": "Nobody"});
    let logged_off = json!({"app_user": 9_999, "status": "Lunch", "logged_in": null});
    assert_eq!(swept(251, json!([nobody()])).await, (2, None));
    assert_eq!(swept(253, json!([nobody(), nobody()])).await, (2, None));
    assert_eq!(swept(251, json!([logged_off])).await, (2, None));
    // A short list is judged by itself, and so is a list with many such rows.
    let odd = Some("unexpected_shape");
    assert_eq!(swept(9, json!([nobody()])).await, (1, odd));
    let many = Value::Array(vec![nobody(); 26]);
    assert_eq!(swept(250, many).await, (1, odd));
}

/// A list of two full pages and more without a count. The page after the second is this answer.
async fn without_a_count(end: (StatusCode, Value)) -> Result<usize, &'static str> {
    let list = agents(500);
    let world = world(1000, move |page, _| match page {
        1 | 2 => {
            let from = 250 * (page as usize - 1);
            let next = format!("?page={}", page + 1);
            let body = json!({"next": next, "results": list[from..from + 250]});
            Ok(reply(StatusCode::OK, &body))
        }
        _ => Ok(reply(end.0, &end.1)),
    });
    match world.agents().await {
        Ok(list) => Ok(list.rows.len()),
        Err(super::RequestError::Fault(fault)) => Err(fault.as_str()),
        Err(refused) => panic!("{refused:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_without_a_count_that_breaks_off_is_not_whole() {
    let not_found = |detail: &str| (StatusCode::NOT_FOUND, json!({"detail": detail}));
    assert_eq!(without_a_count(not_found("Invalid page.")).await, Ok(500));
    let incomplete = Err("incomplete");
    assert_eq!(without_a_count(not_found("Not found.")).await, incomplete);
    let empty = json!({"next": "?page=4", "results": []});
    assert_eq!(without_a_count((StatusCode::OK, empty)).await, incomplete);
    let end = json!({"next": null, "results": []});
    assert_eq!(without_a_count((StatusCode::OK, end)).await, Ok(500));
}

#[tokio::test(start_paused = true)]
async fn a_second_reading_without_a_count_or_that_cannot_be_used_does_not_win() {
    for second in [
        json!({"count": null, "next": null, "results": agents(3)}),
        json!({"count": 20, "next": null, "results": vec![json!({"full_name": "Nobody"}); 20]}),
    ] {
        let list = agents(20);
        let world = world(1000, move |page, nth| match nth {
            0 => Ok(page_of(&list[..19], page, 20)),
            _ => Ok(reply(StatusCode::OK, &second)),
        });
        let (requests, _, rows) = reads(&world).await;
        assert_eq!((requests, rows), (2, 19));
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_shrinks_while_it_is_read_is_read_again() {
    // One of the first page leaves, so the first row of the second page slips to the first.
    let (before, after) = (agents(300), agents(300).split_off(1));
    let world = world(1000, move |page, nth| {
        let list = if nth == 0 { &before } else { &after };
        Ok(page_of(list, page, list.len()))
    });
    let (requests, _, rows) = reads(&world).await;
    assert_eq!((requests, rows), (4, 299));
}
