//! Tests that wrong dates make statuses neither wrong nor old for long.

use super::*;

/// Returns how long ago it was known whether each agent is available, for the agent of whom it was known longest ago.
fn oldest(world: &World) -> Duration {
    let roster = &world.roster;
    let known = roster.newest_rows().map(|row| roster.known_as_of(row).boot);
    let oldest = known.min().unwrap_or(moment(0).boot);
    moment(world.now).boot.saturating_sub(oldest)
}

#[test]
fn wrong_dates_make_no_status_older_than_two_minutes() {
    for lie in [Lie::Stray, Lie::StepBack] {
        for seed in 0..4 {
            let mut world = World::new(lie, seed);
            world.live(3);
            let mut most = Duration::ZERO;
            while world.now < 20 * 60_000 {
                world.live(0);
                world.ask();
                if world.dice.usize(..4) == 0 {
                    let queue = world.dice.usize(..4);
                    world.poll(queue);
                }
                world.check();
                most = most.max(oldest(&world));
            }
            let told = (&world.given_up, &world.changes_of_feed);
            assert!(
                most < Duration::from_secs(120),
                "{lie:?} {seed}: {most:?} {told:?}"
            );
        }
    }
}

#[test]
fn dates_that_all_go_back_do_not_end_the_trust_in_changes() {
    for seed in 0..2 {
        let world = lived(Lie::StepBack, seed, 20);
        assert_eq!(world.given_up, [], "{seed}");
        assert_eq!(world.feeds.in_use(), Feed::Delta, "{seed}");
    }
}
