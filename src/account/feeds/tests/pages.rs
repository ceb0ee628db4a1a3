//! Tests changes that take several pages, each from a copy of CallTools' data of its own.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The world checks itself as it runs.
    #[test]
    fn nothing_looks_newer_than_it_was_although_pages_come_from_different_copies(seed in any::<u64>(), lag in prop_oneof![Just(0), 1..21u64]) {
        let mut world = World::new(Lie::PagesLag(0), seed);
        while world.feeds.in_use() != Feed::Delta {
            world.ask();
            prop_assert!(world.now < HOUR as u64);
        }
        world.lie = Lie::PagesLag(lag);
        while world.feeds.in_use() == Feed::Delta && world.now < 15 * 60_000 {
            world.ask();
            if world.dice.usize(..8) == 0 {
                let queue = world.dice.usize(..4);
                world.poll(queue);
            }
            world.check();
        }
        // Honest pages always meet.
        let doubted = |(_, feed, why): &(u64, Feed, GivenUp)| {
            *feed == Feed::Delta && matches!(why, GivenUp::Doubted(_))
        };
        prop_assert!(lag > 0 || !world.given_up.iter().any(doubted), "{:?}", world.given_up);
    }
}
