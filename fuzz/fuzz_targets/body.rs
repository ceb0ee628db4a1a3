//! Reads a body from CallTools as a page, normalizes its rows, and evaluates criteria on them.
#![no_main]

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use libfuzzer_sys::fuzz_target;
use openseat::{
    calltools::{Ask, Page, Reply, Row, joined_response},
    clock::Moment,
    decision::criteria::{SeatRule, seats},
    model::{names::Names, raw::Pattern},
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
    let (names, mut pattern) = (Names::default(), Pattern::default());
    let agents: Vec<_> = (page.rows.iter())
        .filter_map(|row| {
            let agent = Row::read(row, &names, &mut pattern).ok()?.agent;
            assert_eq!(agent.raw.json().get(), row);
            Some(agent)
        })
        .collect();
    let _ = seats(&agents, SeatRule::default(), NOW);
    if let Ok(response) = joined_response(&agents) {
        assert_eq!(response["count"], agents.len());
    }
});
