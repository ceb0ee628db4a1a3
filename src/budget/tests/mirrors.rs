//! Tests how long it takes to count the requests of other nodes.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use rustix::time::{ClockId, clock_gettime};

use crate::{
    budget::{Budget, Mark, Mirrored},
    fixtures::Still,
};

/// The largest limit that a config may have.
const LIMIT: u32 = 20_000;

/// Returns how long this thread has had a core, so that a busy machine does not matter.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_whole_hour_of_other_nodes_is_counted_in_a_moment() {
    let limit = NonZeroU32::new(LIMIT).unwrap();
    let budget = Budget::in_memory(limit, 0, Arc::new(Still::new()));
    let request = |number| Mirrored::asked_for(Mark { process: 7, number }, number % 2 == 0);
    let hour: Vec<_> = (0..u64::from(LIMIT)).map(request).collect();
    let answered: Vec<_> = hour.iter().map(|one| one.answered_now()).collect();
    let begun = cpu_time();
    // New ones, their answers, and what is known, as in a checkpoint or mirror.
    for requests in [&hour, &answered, &hour] {
        budget.mirror(requests);
        assert_eq!(budget.usage().used, LIMIT);
    }
    // A debug build takes a tenth of a second. If each were searched for in the window, it would be six hundred million comparisons.
    let took = cpu_time() - begun;
    assert!(took < Duration::from_secs(1), "{took:?}");
}
