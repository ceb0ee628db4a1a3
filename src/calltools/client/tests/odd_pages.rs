//! Tests pages that are odd alone.

use serde_json::{Value, json};

use super::{agents, page_of, reads, sweep, world};
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
