//! Tests dates that are wrong by far.

use super::*;

#[test]
fn a_date_in_the_far_future_that_is_corrected_makes_only_its_agent_older() {
    let mut roster = Roster::new(2);
    let lists = |roster: &mut Roster, seconds: u64, ann: i64| {
        poll(roster, 0, seconds, vec![since("ann", "Available", ann)]);
        let both = vec![
            since("ann", "Available", ann),
            since("bob", "Available", 50),
        ];
        poll(roster, 1, seconds + 1, both);
        let bob = roster.newest(&AgentId("bob".into())).unwrap().at;
        (roster.join(0).unwrap().as_of, bob)
    };
    assert_eq!(lists(&mut roster, 101, 86_400), (at(102), at(102)));
    assert_eq!(lists(&mut roster, 110, 105), (at(102), at(111)));
}

#[test]
fn a_date_in_the_far_future_does_not_hide_that_a_poll_lags() {
    let mut roster = Roster::new(1);
    let queue = |ann, bob| {
        vec![
            since("ann", "Available", ann),
            since("bob", "Available", bob),
        ]
    };
    let mut all = queue(50, 90);
    all.push(since("cid", "Available", 60));
    poll(&mut roster, 0, 100, all);
    // A copy that has neither bob's last change nor cid's membership. Nobody has seen ann's date before.
    poll(&mut roster, 0, 110, queue(86_400, 80));
    let joined = roster.join(0).unwrap();
    assert_eq!((joined.members_as_of, joined.agents.len()), (at(100), 3));
    assert_eq!(roster.newest(&AgentId("ann".into())).unwrap().at, at(100));
    // A much later date that is likely right shows that the poll does not lag.
    let mut later = queue(86_400, 80);
    later.push(since("eve", "Available", 115));
    poll(&mut roster, 0, 120, later);
    let joined = roster.join(0).unwrap();
    assert_eq!((joined.members_as_of, joined.agents.len()), (at(120), 3));
}
