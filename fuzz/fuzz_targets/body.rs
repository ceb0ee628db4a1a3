//! Reads a body from CallTools as a page, normalizes its rows, and evaluates criteria on them.
#![no_main]

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use libfuzzer_sys::fuzz_target;
use openseat::{
    calltools::{Ask, Page, Reply, Row, joined_response},
    clock::Moment,
    decision::criteria::{SeatRule, seats},
    model::names::Names,
};

const NOW: Moment = Moment {
    boot: Duration::from_secs(86_400),
    wall: Duration::from_secs(1_795_341_600),
};

const ASK: Ask = Ask {
    page: 1,
    queue: Some(1),
};

fuzz_target!(|body: &[u8]| {
    let reply = Reply {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: body.to_vec().into(),
    };
    let Ok(page) = Page::read(&reply, ASK, NOW) else {
        return;
    };
    assert!(page.next.is_none_or(|next| next > ASK.page));
    let rows = page.rows.into_iter();
    let agents: Vec<_> = rows
        .filter_map(|row| Some(Row::read(row, &Names::default()).ok()?.agent))
        .collect();
    let _ = seats(&agents, SeatRule::default(), NOW);
    if let Ok(response) = joined_response(&agents) {
        assert_eq!(response["count"], agents.len());
    }
});
