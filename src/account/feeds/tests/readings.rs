//! Tests which list is read next.

use super::*;

#[test]
fn every_thirtieth_request_or_after_two_minutes_a_page_of_the_full_list_is_read() {
    let (mut feeds, rows) = (Feeds::default(), changes(250));
    (feeds.sweep_pages, feeds.whole) = (40, WholeList::Clipped);
    feeds.choice.proved(Feed::Delta);
    assert!(feeds.choose(moment(0)));
    feeds.full_page(7, Some(8), moment(0), &rows);
    for second in 1..30 {
        let (request, _) = feeds.next(moment(second * 1_000));
        assert_eq!(request, Request::Delta(1), "request {second}");
        feeds.sent(Feed::Delta);
    }
    assert_eq!(feeds.next(moment(30_000)).0, Request::Full);
    feeds.full_page(8, Some(9), moment(30_000), &rows);
    assert_eq!(feeds.next(moment(149_999)).0, Request::Delta(1));
    assert_eq!(feeds.next(moment(150_000)).0, Request::Full);
}
