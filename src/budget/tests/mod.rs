//! Tests the promise on a simulated machine. At random, its clocks are stepped, and it sleeps, reboots and kills its processes. Its disk fails,
//! hangs and recovers. People damage its state folder while a process runs and while none does. Its config gives the account new names and
//! tokens, also that of another account, and also while a request is being stored. The simulated CallTools records the true time of each
//! arrival, for both accounts.
//!
//! All code and files are real, except that the clocks are simulated and the test runs the ledger's thread step by step: a hanging disk is a
//! thread that does nothing.
//!
//! Two things cannot be known, and count as a *hole*: requests sent before a loss that the next process noticed, and requests of a process
//! whose disk recorded them neither in the ledger nor in the witness before it was killed. An hour with a hole may hold one limit on each side
//! of the hole. Any other hour holds at most one limit.

mod events;
mod mirrors;
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

    /// The converse of the promise: caution never locks a budget for good.
    #[test]
    fn two_quiet_hours_free_the_whole_limit(
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
