//! The promise, put to the test: a machine whose clocks are stepped, which sleeps, reboots and kills its processes at random, whose disk fails,
//! hangs and comes back, whose state folder is damaged by people while a process runs and while none does, and whose config gives the account
//! new names and new tokens. The far side keeps the true time of each arrival.
//!
//! The code is the real one, file and all; only the clocks are simulated, and the ledger's thread is turned by hand, so that a disk that hangs is a
//! thread that does nothing.
//!
//! Two things cannot be known, and count as a *hole*: what was sent before a loss that the next process found out, and what a process sent whose disk
//! took neither the ledger nor the witness until it was killed. An hour with a hole in it may hold a limit for each side of the hole. Every other
//! hour holds one limit at most.

mod events;
mod world;

use proptest::prelude::*;

use self::{
    events::{Event, event},
    world::World,
};
use super::Purpose;

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn no_sliding_hour_ever_holds_more_than_the_limit(
        limit in 1u32..60,
        reserve in 0u32..40,
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut world = World::new(limit, reserve);
        for event in &events {
            world.apply(event);
        }
        prop_assert_eq!(world.worst_hour(), None);
    }

    /// The other side of the promise: caution never locks a budget up for good.
    #[test]
    fn two_quiet_hours_make_the_whole_limit_free_again(
        limit in 1u32..60,
        reserve in 0u32..40,
        events in prop::collection::vec(event(), 1..30),
    ) {
        let mut world = World::new(limit, reserve);
        for event in &events {
            world.apply(event);
        }
        world.apply(&Event::DiskReturns);
        world.apply(&Event::Kill { renamed: 0 });
        world.apply(&Event::Pass { seconds: 2 * 3_600 });
        prop_assert_eq!(world.burst(limit as u8, 0, Purpose::OnDemand), limit);
    }
}
