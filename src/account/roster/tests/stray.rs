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
