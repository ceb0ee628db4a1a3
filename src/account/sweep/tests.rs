//! Tests which sweeps are trusted.

use super::*;
use crate::fixtures::{agent, at};

/// Returns an agent who has had this status since `since` seconds after the start.
fn since(id: &str, status: &str, since: i64) -> Agent {
    Agent {
        status_since: Some(jiff::Timestamp::from_second(1_795_341_600 + since).unwrap()),
        ..agent(id, id, status)
    }
}

fn undated(id: &str, status: &str) -> Agent {
    Agent {
        status_since: None,
        ..agent(id, id, status)
    }
}

/// Returns `count` agents who have had this status for long.
fn people(count: usize, status: &str) -> Vec<Agent> {
    (0..count)
        .map(|n| since(&format!("p{n}"), status, -600))
        .collect()
}

/// Returns how far dates are ahead of the boot clock if they are this many seconds ahead of the wall clock.
fn ahead(seconds: i64) -> Option<SignedDuration> {
    let moment = |of| SignedDuration::try_from(of).unwrap();
    let usual = moment(at(0).wall) - moment(at(0).boot);
    Some(usual + SignedDuration::from_secs(seconds))
}

struct Judge {
    sweep: Sweep,
    roster: Roster,
}

impl Judge {
    fn new(queues: usize) -> Self {
        Self {
            sweep: Sweep::default(),
            roster: Roster::new(queues),
        }
    }

    fn poll(&mut self, place: usize, seconds: u64, agents: Vec<Agent>) -> Option<Doubt> {
        let doubt = self.sweep.compare(&agents, at(seconds), &self.roster);
        self.roster
            .poll(place, at(seconds), Duration::ZERO, true, agents);
        doubt
    }

    fn page(&mut self, seconds: u64, page: u32, last: bool, agents: Vec<Agent>) -> Verdict {
        let as_of = at(seconds);
        let page = SweptPage {
            as_of,
            page,
            last,
            agents,
        };
        self.sweep.take(page, &mut self.roster)
    }

    fn sweep(&mut self, seconds: u64, agents: Vec<Agent>) -> Verdict {
        self.page(seconds, 1, true, agents)
    }

    /// Reads a list in pages of ten.
    fn paged(&mut self, seconds: u64, agents: &[Agent]) -> Verdict {
        let pages: Vec<_> = agents.chunks(10).collect();
        let mut verdict = Verdict::Kept;
        for (number, rows) in (1..).zip(&pages) {
            verdict = self.page(
                seconds,
                number,
                number as usize == pages.len(),
                rows.to_vec(),
            );
        }
        verdict
    }

    /// Polls everybody and then reads a list that lacks these of thirty agents, again and again. Returns in which sweep it is doubted.
    fn sweeps_without(&mut self, sweeps: std::ops::Range<u64>, hidden: &[usize]) -> Option<u64> {
        let mut listed = people(30, "Available");
        listed.retain(|agent| {
            !hidden
                .iter()
                .any(|place| *agent.id.0 == *format!("p{place}"))
        });
        let mut doubted = |sweep: u64| {
            self.poll(0, 20 * sweep, people(30, "Available"));
            self.paged(20 * sweep + 10, &listed) == Verdict::Doubted(Doubt::Missing)
        };
        sweeps.into_iter().find(|sweep| doubted(*sweep))
    }

    fn status(&self, id: &str) -> Option<&str> {
        let sighting = self.roster.newest(&AgentId(id.into()))?;
        sighting.agent.status.as_deref()
    }
}

#[test]
fn a_first_sweep_that_agrees_is_trusted() {
    let mut judge = Judge::new(1);
    judge.poll(0, 0, people(5, "Available"));
    let mut changed = people(5, "Available");
    changed[2] = since("p2", "On a Call", 8);
    assert_eq!(judge.sweep(10, changed), Verdict::Taken);
    assert!(judge.sweep.is_trusted());
    assert_eq!(
        judge.status("p2"),
        Some("On a Call"),
        "a change is no contradiction"
    );
}

#[test]
fn a_first_sweep_is_not_used_before_it_is_complete() {
    let mut judge = Judge::new(1);
    judge.poll(0, 0, people(2, "Available"));
    let page = judge.page(10, 1, false, vec![since("p0", "On a Call", 8)]);
    assert_eq!(page, Verdict::Kept);
    assert_eq!(judge.status("p0"), Some("Available"));
    let page = judge.page(14, 2, true, vec![since("p1", "Available", -600)]);
    assert_eq!(page, Verdict::Taken);
    assert_eq!(judge.status("p0"), Some("On a Call"));
    // From now on each page counts at once.
    let page = judge.page(20, 1, false, vec![since("p0", "Available", 19)]);
    assert_eq!(page, Verdict::Taken);
    assert_eq!(judge.status("p0"), Some("Available"));
}

#[test]
fn a_first_sweep_that_contradicts_the_polls_is_dropped() {
    let mut judge = Judge::new(1);
    judge.poll(0, 0, people(5, "Available"));
    let verdict = judge.sweep(10, people(5, "Not Available"));
    assert_eq!(verdict, Verdict::Doubted(Doubt::Contradicted));
    assert!(!judge.sweep.is_trusted());
    assert_eq!(judge.status("p0"), Some("Available"));
}

#[test]
fn a_list_that_is_wrong_only_about_the_few_available_agents_is_dropped() {
    let rows = |all: usize, free: usize, status: &str| {
        let mut rows = people(all, "On a Call");
        rows[..free].clone_from_slice(&people(free, status));
        rows
    };
    for (all, free, status) in [
        (30, 2, "Not Available"),
        (120, 15, "Not Available"),
        (120, 15, "Lunch"),
        (600, 60, "On a Call"),
    ] {
        // Before it is used, …
        let mut judge = Judge::new(1);
        judge.poll(0, 0, rows(all, free, "Available"));
        let verdict = judge.sweep(10, rows(all, free, status));
        assert_eq!(verdict, Verdict::Doubted(Doubt::Contradicted));
        // … and if it becomes so later, by the next poll.
        let mut judge = Judge::new(1);
        judge.poll(0, 0, rows(all, free, "Available"));
        let verdict = judge.sweep(10, rows(all, free, "Available"));
        assert_eq!(verdict, Verdict::Taken);
        judge.sweep(20, rows(all, free, status));
        let doubt = judge.poll(0, 22, rows(all, free, "Available"));
        assert_eq!(doubt, Some(Doubt::Contradicted));
    }
    // A few who changed although their dates stand still are none.
    let mut judge = Judge::new(1);
    judge.poll(0, 0, rows(100, 20, "Available"));
    let mut changed = rows(100, 20, "Available");
    changed[..5].clone_from_slice(&people(5, "On a Call"));
    assert_eq!(judge.sweep(10, changed), Verdict::Taken);
}

#[test]
fn a_poll_that_contradicts_a_trusted_sweep_is_noticed() {
    let mut judge = Judge::new(1);
    judge.poll(0, 0, people(5, "Available"));
    assert_eq!(judge.sweep(10, people(5, "Available")), Verdict::Taken);
    judge.sweep(1_000, people(5, "Available"));
    // They were on a call long before the sweep, which did not show it. Somebody has changed just now.
    let mut busy: Vec<_> = (0..5)
        .map(|n| since(&format!("p{n}"), "On a Call", 500))
        .collect();
    busy.push(since("p5", "On a Call", 1_001));
    assert_eq!(judge.poll(0, 1_002, busy), Some(Doubt::Contradicted));
}

#[test]
fn a_single_contradiction_or_few_among_many_are_accidents() {
    let mut judge = Judge::new(1);
    judge.poll(0, 0, people(5, "Available"));
    let mut one_off = people(5, "Available");
    one_off[0] = since("p0", "On a Call", -600);
    assert_eq!(judge.sweep(10, one_off), Verdict::Taken);
    let mut judge = Judge::new(1);
    judge.poll(0, 0, people(100, "Available"));
    let off = |count: usize| {
        let mut people = people(100, "Available");
        people[..count]
            .iter_mut()
            .for_each(|agent| agent.status = Some("On a Call".into()));
        people
    };
    assert_eq!(judge.sweep(10, off(19)), Verdict::Taken);
    let mut judge = Judge::new(1);
    judge.poll(0, 0, people(100, "Available"));
    assert_eq!(
        judge.sweep(10, off(20)),
        Verdict::Doubted(Doubt::Contradicted)
    );
}

#[test]
fn contradictions_are_distinguished_from_changes_and_lag() {
    let earlier = at(0);
    let cases = [
        // The status changed between the two looks.
        (
            since("a", "Available", -600),
            since("a", "On a Call", 5),
            10,
            Some(false),
        ),
        // It changed just before the first look, and clocks may differ.
        (
            since("a", "Available", -600),
            since("a", "On a Call", -30),
            10,
            Some(false),
        ),
        // It had changed long before the first look.
        (
            since("a", "Available", -600),
            since("a", "On a Call", -61),
            10,
            Some(true),
        ),
        // The second look shows an older status: it read a copy that lags a little, …
        (
            since("a", "Available", -5),
            since("a", "On a Call", -600),
            10,
            None,
        ),
        // … or a copy that is not kept up to date.
        (
            since("a", "Available", -55),
            since("a", "On a Call", -600),
            10,
            Some(true),
        ),
        // An agent cannot have two statuses since the same moment.
        (
            since("a", "Available", -5),
            since("a", "On a Call", -5),
            10,
            Some(true),
        ),
        (
            since("a", "Available", -5),
            since("a", "Available", -5),
            10,
            Some(false),
        ),
        // Without dates, only looks at about the same moment can be compared.
        (
            undated("a", "Available"),
            undated("a", "On a Call"),
            1,
            Some(true),
        ),
        (
            undated("a", "Available"),
            undated("a", "Available"),
            1,
            Some(false),
        ),
        (
            undated("a", "Available"),
            undated("a", "On a Call"),
            4,
            None,
        ),
        (
            undated("a", "Available"),
            since("a", "On a Call", -5),
            4,
            None,
        ),
    ];
    for (first, second, seconds, expected) in cases {
        let found = contradict((&first, earlier), (&second, at(seconds)), ahead(0));
        assert_eq!(
            found, expected,
            "{first:?} then {second:?} {seconds} s later"
        );
    }
    let (newer, older) = (since("a", "On a Call", 5), since("a", "Available", -600));
    assert_eq!(
        contradict((&newer, at(10)), (&older, at(9)), ahead(0)),
        None,
        "the answers arrived in the other order"
    );
}

/// How far dates in New York are behind, in seconds.
const WEST: i64 = -5 * 3_600;

/// Returns `people` of whom the first have changed to this status since, in the time of New York.
fn western(count: usize, changed: usize, status: &str, seconds: i64) -> Vec<Agent> {
    let mut people = people(count, "Available");
    for (place, person) in people.iter_mut().enumerate() {
        let id = format!("p{place}");
        *person = match place < changed {
            true => since(&id, status, WEST + seconds),
            false => since(&id, "Available", WEST - 600),
        };
    }
    people
}

#[test]
fn changes_are_no_contradictions_if_dates_are_in_local_time_or_our_clock_is_fast() {
    let mut judge = Judge::new(1);
    judge.poll(0, 0, western(100, 0, "Available", 0));
    // Each of 40 has changed since the poll.
    let verdict = judge.sweep(20, western(100, 40, "On a Call", 5));
    assert_eq!(verdict, Verdict::Taken);
    let again = judge.poll(0, 40, western(100, 40, "Available", 25));
    assert_eq!(again, None);
}

#[test]
fn a_stuck_list_is_noticed_by_dates_in_local_time() {
    let mut judge = Judge::new(1);
    // Most have changed a while ago, and one just now.
    let mut polled = western(100, 40, "On a Call", 5);
    polled[0] = since("p0", "On a Call", WEST + 99);
    judge.poll(0, 100, polled);
    let verdict = judge.sweep(110, western(100, 0, "Available", 0));
    assert_eq!(verdict, Verdict::Doubted(Doubt::Contradicted));
}

#[test]
fn the_present_is_the_latest_date_of_the_last_minutes_but_never_in_our_future() {
    let mut present = Present::default();
    assert_eq!(present.ahead(), None);
    let three = |seconds| ["a", "b", "c"].map(|id| since(id, "Available", seconds));
    let undated = [undated("d", "Lunch")];
    present.learn(&[&three(WEST)[..], &undated].concat(), at(0));
    assert_eq!(present.ahead(), ahead(WEST));
    present.learn(&three(WEST - 50), at(10));
    assert_eq!(present.ahead(), ahead(WEST), "nobody has changed");
    // The clocks are set back by an hour.
    for (seconds, behind) in [(400, 0), (750, 3_600), (4_000, 3_600)] {
        present.learn(&three(WEST + seconds as i64 - 3_600), at(seconds));
        assert_eq!(present.ahead(), ahead(WEST - behind), "{seconds} s");
    }
    let stray = [since("d", "Available", 90_000)];
    present.learn(&[&stray, &three(WEST + 400)[..]].concat(), at(4_005));
    present.learn(&stray, at(4_005));
    assert_eq!(
        present.ahead(),
        ahead(WEST - 3_600),
        "one date may be wrong"
    );
    present.learn(&three(90_000), at(4_010));
    assert_eq!(present.ahead(), ahead(0));
}

#[test]
fn an_agent_is_missing_once_a_later_poll_and_a_later_sweep_agree() {
    let mut judge = Judge::new(1);
    judge.poll(0, 0, people(5, "Available"));
    let without_one = || people(4, "Available");
    assert_eq!(judge.sweep(10, without_one()), Verdict::Taken);
    assert_eq!(judge.sweep.missed().count(), 1);
    assert_eq!(
        judge.sweep(20, without_one()),
        Verdict::Taken,
        "no poll since"
    );
    judge.poll(0, 30, people(5, "Available"));
    assert_eq!(
        judge.sweep(40, without_one()),
        Verdict::Doubted(Doubt::Missing)
    );
    assert!(!judge.sweep.is_trusted());
}

#[test]
fn an_agent_who_left_is_not_missing() {
    let mut judge = Judge::new(1);
    judge.poll(0, 0, people(5, "Available"));
    judge.sweep(10, people(5, "Available"));
    assert_eq!(judge.sweep(20, people(4, "Available")), Verdict::Taken);
    judge.poll(0, 30, people(4, "Available"));
    assert_eq!(judge.sweep(40, people(4, "Available")), Verdict::Taken);
    assert_eq!(judge.sweep.missed().count(), 0);
}

#[test]
fn an_agent_missed_between_two_pages_is_seen_the_next_time() {
    let mut judge = Judge::new(1);
    judge.poll(0, 0, people(5, "Available"));
    judge.sweep(10, people(4, "Available"));
    judge.poll(0, 20, people(5, "Available"));
    assert_eq!(judge.sweep(30, people(5, "Available")), Verdict::Taken);
    assert_eq!(judge.sweep.missed().count(), 0);
    // And it does not count against later sweeps.
    assert_eq!(judge.sweep(40, people(4, "Available")), Verdict::Taken);
}

#[test]
fn agents_whom_the_edge_between_two_pages_hides_are_not_missing() {
    let mut judge = Judge::new(1);
    assert_eq!(judge.sweeps_without(0..1, &[]), None);
    // The first of the second page in some sweeps, then the first of the third as well.
    assert_eq!(judge.sweeps_without(1..6, &[10]), None);
    assert_eq!(judge.sweep.missed().count(), 1);
    assert_eq!(judge.sweeps_without(6..12, &[10, 21]), Some(10));
}

#[test]
fn agents_whom_no_sweep_has_shown_yet_may_be_at_an_edge() {
    let mut judge = Judge::new(1);
    assert_eq!(judge.sweeps_without(0..5, &[10]), None);
    assert_eq!(judge.sweeps_without(5..6, &[]), None);
    assert_eq!(judge.sweeps_without(6..10, &[10]), None);
    assert!(judge.sweep.is_trusted());
    // Three pages have two edges.
    let many = [1, 2, 3, 4, 5];
    assert_eq!(Judge::new(1).sweeps_without(0..9, &many), Some(1));
    assert_eq!(Judge::new(1).sweeps_without(0..9, &many[1..]), None);
    assert_eq!(Judge::new(1).sweeps_without(0..12, &many[1..]), Some(9));
}

#[test]
fn agents_amid_a_page_are_missing_soon() {
    let mut judge = Judge::new(1);
    assert_eq!(judge.sweeps_without(0..3, &[]), None);
    assert_eq!(judge.sweeps_without(3..9, &[5]), Some(4));
}

#[test]
fn polls_during_each_sweep_show_whom_the_sweeps_lack() {
    let mut judge = Judge::new(1);
    assert_eq!(judge.sweeps_without(0..1, &[]), None);
    let mut listed = people(30, "Available");
    listed.remove(5);
    let mut sweep = |seconds| {
        judge.page(seconds, 1, false, listed[..10].to_vec());
        judge.poll(0, seconds + 5, people(30, "Available"));
        let verdict = judge.page(seconds + 10, 2, true, listed[10..].to_vec());
        (verdict, judge.sweep.missed().count())
    };
    assert_eq!(sweep(100), (Verdict::Taken, 0), "they may have come since");
    assert_eq!(sweep(200), (Verdict::Doubted(Doubt::Missing), 0));
}

#[test]
fn an_agent_first_polled_during_the_sweep_is_not_missing() {
    let mut judge = Judge::new(2);
    judge.poll(0, 0, people(2, "Available"));
    judge.page(10, 1, false, people(1, "Available"));
    judge.poll(1, 12, vec![since("new", "Available", 11)]);
    assert_eq!(
        judge.page(14, 2, true, people(2, "Available")),
        Verdict::Taken
    );
    assert_eq!(judge.sweep.missed().count(), 0);
}

#[test]
fn the_rest_of_a_sweep_whose_start_was_lost_is_ignored() {
    let mut judge = Judge::new(1);
    judge.poll(0, 0, people(5, "Available"));
    judge.page(10, 1, false, people(2, "Available"));
    judge.sweep.reset();
    assert_eq!(
        judge.page(14, 2, true, people(5, "Not Available")),
        Verdict::Kept
    );
    assert!(!judge.sweep.is_trusted());
    assert_eq!(judge.status("p0"), Some("Available"));
}

#[test]
fn a_reset_forgets_earlier_comparisons() {
    let mut judge = Judge::new(1);
    judge.poll(0, 0, people(5, "Available"));
    judge.sweep(10, people(5, "Not Available"));
    judge.poll(0, 20, people(5, "Available"));
    assert_eq!(
        judge.sweep(30, people(5, "Available")),
        Verdict::Taken,
        "after the reset"
    );
}
