//! A target of the drop-in API, to a page of a list. The first byte says how long the list is.
#![no_main]

use http::{HeaderMap, Uri};
use libfuzzer_sys::fuzz_target;
use openseat::server::page_of_list;
use serde_json::value::RawValue;

fuzz_target!(|input: (u8, &str)| {
    let (rows, query) = input;
    let Ok(uri) = format!("/api/queues/?{query}").parse::<Uri>() else {
        return;
    };
    let row: &RawValue = serde_json::from_str("{}").expect("it is JSON");
    let rows = vec![row; usize::from(rows)];
    let answer = page_of_list(&uri, &HeaderMap::new(), &rows);
    assert!([200, 404].contains(&answer.status().as_u16()));
});
