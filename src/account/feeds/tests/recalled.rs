//! Tests that the list of changes continues where an earlier task, perhaps of another machine, left it.

use super::*;
use crate::model::known::Known;

impl World {
    /// Lets another task continue after this time, with what this one knew.
    fn hand_over(&mut self, after: u64) {
        let known = self.roster.known_beside_polls();
        let are_looks = self.roster.has_only_looks() && self.dice.bool();
        self.go_on(known, are_looks, after);
    }

    /// Goes on with these rows, which may be looks or confirmed later.
    fn go_on(&mut self, rows: Vec<Sighting>, are_looks: bool, after: u64) {
        let poll = |place| Some((place, self.roster.poll_to_hand_over(place as usize)?));
        let mut known = Known {
            queues: (0..4).filter_map(poll).collect(),
            agents: rows,
            are_looks,
            looked: self.roster.last_look(),
            confirmed: self.roster.confirmed(),
            ..Known::default()
        };
        known.undate_refuted();
        let polls_first = self.dice.bool();
        (self.feeds, self.full) = (Feeds::default(), 1);
        self.roster = Roster::new(4);
        self.roster.looked_at(known.looked.unwrap());
        self.pass(after);
        let now = moment(self.now);
        self.feeds
            .set_ready_statuses(vec![ready(1)], &mut self.roster, now);
        if !known.agents.is_empty() {
            self.feeds.begin_again(&known.agents, known.looked, 2, now);
        }
        if polls_first {
            self.recall_polls(&mut known);
        }
        for row in known.agents.drain(..) {
            match known.are_looks {
                true => self.roster.recall_look(row),
                false => self.roster.recall(row),
            };
        }
        self.roster
            .recall_confirmed(std::mem::take(&mut known.confirmed));
        self.recall_polls(&mut known);
    }

    fn recall_polls(&mut self, known: &mut Known) {
        for (place, poll) in known.queues.drain(..) {
            self.roster.recall_poll(place as usize, poll);
        }
    }

    /// The age of the oldest status.
    fn age(&self) -> Duration {
        let known = |row| self.roster.known_as_of(row).boot;
        let oldest = self.roster.newest_rows().map(known).min();
        moment(self.now).boot - oldest.unwrap()
    }
}

#[test]
fn the_next_task_reads_changes_at_once_if_they_reach_back() {
    // Rows that are younger than ten seconds prove nothing.
    for (after, requests) in [(2_000, 4), (10_000, 2), (15_000, 2)] {
        let mut world = lived(Lie::Nothing, 3, 20);
        world.hand_over(after);
        (0..requests).for_each(|_| world.ask());
        assert_eq!(world.feeds.in_use(), Feed::Delta, "after {after} ms");
        let age = world.age();
        assert!(age < Duration::from_secs(10), "after {after} ms: {age:?}");
        assert_eq!(world.given_up, []);
    }
}

#[test]
fn a_list_that_is_not_ordered_makes_nothing_older_after_a_change_of_tasks() {
    for lie in [Lie::OrderingOff, Lie::BothOff, Lie::AscendingOnly] {
        let mut world = lived(lie, 5, 20);
        let oldest = |world: &World| world.now - world.age().as_millis() as u64;
        let known = oldest(&world);
        world.hand_over(2_000);
        for _ in 0..10 {
            world.ask();
            world.check();
            let older = known.saturating_sub(oldest(&world));
            assert!(older == 0, "{lie:?}: {older} ms older at {}", world.now);
        }
        let was_tried = world
            .given_up
            .iter()
            .any(|(_, feed, _)| *feed == Feed::Delta);
        assert!(was_tried, "{lie:?}: {:?}", world.given_up);
    }
}

#[test]
fn recalled_changes_are_not_used_while_they_leave_some_statuses_old() {
    let mut world = lived(Lie::Nothing, 3, 20);
    let mut known = world.roster.known_beside_polls();
    for row in known.iter_mut().step_by(2) {
        row.at = moment(world.now - 150_000);
    }
    world.go_on(known, false, 2_000);
    for _ in 0..10 {
        world.ask();
        let (feed, age) = (world.feeds.in_use(), world.age());
        assert!(
            feed != Feed::Delta || age < Duration::from_secs(20),
            "{age:?}"
        );
    }
    assert_eq!(world.feeds.in_use(), Feed::Delta);
}

#[test]
fn changes_that_do_not_reach_back_begin_anew_without_a_rest() {
    let rows = changes(1_000);
    let seen = |agent: &Agent| Sighting {
        agent: Arc::new(agent.clone()),
        at: moment(0),
        by_sweep: true,
    };
    let known: Vec<_> = rows[900..].iter().map(seen).collect();
    let recalled = |after| {
        let mut feeds = Feeds {
            whole: WholeList::Clipped,
            ..Feeds::default()
        };
        feeds.begin_again(&known, Some(moment(0)), 4, moment(after));
        feeds
    };
    let (mut feeds, now) = (recalled(PERIOD), moment(PERIOD));
    for number in 1..=3 {
        assert_eq!(feeds.next(now).0, Request::Delta(number));
        let size = feeds.size_of_changes(number) as usize;
        let place = (number as usize - 1) * size;
        let page = DeltaPage {
            page: number,
            ..changes_page(PERIOD, &rows[place..place + size])
        };
        let taken = feeds.take_delta(page, &Roster::new(1), now);
        assert_eq!(taken, Taken::Rows);
    }
    assert_eq!(feeds.trust(Feed::Delta), Trust::Untried);
    assert_eq!(feeds.next(now).0, Request::Full);
    feeds.full_page(1, Some(2), now, &rows[..250], &Roster::new(1));
    assert_eq!(feeds.next(now).0, Request::Delta(1));
    // Too long ago to try.
    assert_eq!(recalled(120_000).next(moment(120_000)).0, Request::Full);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The world checks itself as it runs.
    #[test]
    fn nothing_looks_newer_than_it_was_after_any_change_of_tasks(seed in any::<u64>(), lie in 0..16usize) {
        let lies = [
            Lie::Nothing, Lie::OrderingOff, Lie::FilterOff, Lie::LocalTime, Lie::Lags(20), Lie::Deletes, Lie::TooFast, Lie::LeavesOut,
            Lie::Stray, Lie::BothOff, Lie::Ahead, Lie::FarAhead, Lie::StepBack, Lie::LaterStepBack, Lie::AheadAndOrderingOff,
            Lie::ShortPages,
        ];
        let mut world = World::new(lies[lie], seed);
        for _ in 0..12 {
            for _ in 0..world.dice.usize(1..40) {
                world.ask();
                if world.dice.usize(..4) == 0 {
                    let queue = world.dice.usize(..4);
                    world.poll(queue);
                }
                world.check();
            }
            let after = world.dice.u64(..150_000);
            world.hand_over(after);
        }
    }
}
