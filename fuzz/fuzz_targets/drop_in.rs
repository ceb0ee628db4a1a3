//! Answers a query of the drop-in API with a page of a list. The first byte is the length of the list.
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
    let row: &RawValue = serde_json::from_str("{}").expect("valid JSON");
    let rows = vec![row; usize::from(rows)];
    let answer = page_of_list(&uri, &HeaderMap::new(), &rows);
    assert!([200, 404].contains(&answer.status().as_u16()));
});
