//! Tests which faults follow from the ends of requests, and which lines are logged.

use std::time::Duration;

use super::*;
use crate::{
    logged::listen,
    model::fault::{Down, FaultKind, NoSuchQueue},
};

const QUEUES: usize = 60;

struct Fixture {
    faults: Faults,
    now: Moment,
}

impl Fixture {
    /// Returns the faults of an account that has answered once.
    fn new(queues: usize) -> Self {
        let now = Moment {
            boot: Duration::from_secs(1_000),
            wall: Duration::from_secs(1_795_341_600),
        };
        let mut faults = Faults::new("main".into(), queues);
        (0..queues).for_each(|place| faults.set_fed(place, true));
        let mut fixture = Self { faults, now };
        fixture.succeed(Asked::Statuses);
        fixture
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.later(Duration::from_secs(1));
            self.log();
        }
    }

    fn succeed(&mut self, asked: Asked) {
        self.faults.succeeded(asked, self.now);
        self.log();
    }

    fn fail(&mut self, asked: Asked, fault: Fault) {
        self.faults.failed(asked, &Arc::new(fault), self.now);
        self.log();
    }

    fn log(&mut self) {
        let key = |place: usize| QueueKey::new("main", format!("q{place}"));
        self.faults.log(key, self.now);
    }

    fn kind(&self) -> Option<FaultKind> {
        self.faults.present().map(PresentFault::kind)
    }

    fn of_queues(&self) -> Vec<Option<&'static str>> {
        let queues = 0..self.faults.queues.len();
        queues
            .map(|place| self.faults.of_queue(place).map(|fault| fault.as_str()))
            .collect()
    }
}

fn refused() -> Fault {
    Fault::down(Down::Refused, "Connection refused")
}

fn gone(id: u64) -> Fault {
    Fault::NoSuchQueue(NoSuchQueue::Id(id))
}

#[test]
fn a_refused_token_is_the_accounts_fault_at_once_and_logged_once() {
    let (logged, _guard) = listen();
    let mut fixture = Fixture::new(QUEUES);
    for place in 0..QUEUES {
        fixture.fail(Asked::Queue(place), Fault::BadToken);
        fixture.pass(1);
    }
    assert_eq!(fixture.kind(), Some(FaultKind::BadToken));
    assert_eq!(fixture.of_queues(), [Some("bad_token"); QUEUES]);
    fixture.succeed(Asked::Queue(3));
    assert_eq!(fixture.kind(), None);
    fixture.pass(3600);
    assert_eq!(logged.lines().len(), 2, "{logged:?}");
}

#[test]
fn three_failures_in_a_row_are_the_accounts_fault_but_one_is_not() {
    let mut fixture = Fixture::new(QUEUES);
    fixture.fail(Asked::Queue(1), refused());
    fixture.fail(Asked::Feed, refused());
    assert_eq!(fixture.kind(), None);
    fixture.fail(Asked::Queue(2), refused());
    assert_eq!(fixture.kind(), Some(FaultKind::UpstreamDown));
    assert_eq!(fixture.of_queues(), [Some("refused"); QUEUES]);
    // This request is sent after the current fault was seen.
    fixture.pass(1);
    fixture.succeed(Asked::Feed);
    assert_eq!(fixture.kind(), None);
}

#[test]
fn an_account_that_never_answered_has_a_fault_after_the_first_failure() {
    let mut fixture = Fixture::new(1);
    fixture.faults = Faults::new("main".into(), 2);
    fixture.fail(Asked::Names, refused());
    assert_eq!(fixture.kind(), Some(FaultKind::UpstreamDown));
    assert_eq!(fixture.of_queues(), [Some("refused"); 2]);
}

#[test]
fn an_answer_to_a_request_from_before_the_fault_does_not_end_it() {
    let mut fixture = Fixture::new(QUEUES);
    let before = fixture.now;
    fixture.pass(5);
    fixture.fail(Asked::Feed, Fault::Throttled { until: None });
    fixture.faults.succeeded(Asked::Queue(1), before);
    assert_eq!(fixture.kind(), Some(FaultKind::Throttled));
}

#[test]
fn failures_of_queues_are_not_their_own_while_the_account_has_the_same_fault() {
    let mut fixture = Fixture::new(3);
    let own = |fixture: &Fixture| [0, 1, 2].map(|place| fixture.faults.has_own(place));
    for _ in 0..2 {
        fixture.fail(Asked::Queue(0), refused());
        fixture.pass(1);
        fixture.succeed(Asked::Feed);
    }
    fixture.pass(1);
    fixture.fail(Asked::Queue(1), refused());
    fixture.fail(Asked::Queue(1), refused());
    assert_eq!(own(&fixture), [true, true, false]);
    fixture.fail(Asked::Queue(2), gone(7));
    fixture.fail(Asked::Feed, refused());
    assert_eq!(fixture.kind(), Some(FaultKind::UpstreamDown));
    assert_eq!(own(&fixture), [true, false, true]);
    fixture.pass(1);
    fixture.succeed(Asked::Feed);
    assert_eq!(own(&fixture), [true, false, true]);
}

#[test]
fn failures_in_an_outage_are_not_the_queues_own_after_another_fault_of_the_account() {
    let spent = Fault::BudgetSpent {
        until: Fixture::new(1).now,
    };
    for another in [Fault::Throttled { until: None }, spent, Fault::BadToken] {
        let mut fixture = Fixture::new(3);
        fixture.fail(Asked::Queue(0), refused());
        fixture.fail(Asked::Queue(0), refused());
        fixture.fail(Asked::Queue(1), gone(7));
        fixture.fail(Asked::Feed, refused());
        assert_eq!(fixture.kind(), Some(FaultKind::UpstreamDown));
        fixture.pass(1);
        fixture.fail(Asked::Feed, another.clone());
        assert_eq!(fixture.kind(), Some(another.kind()));
        fixture.pass(1);
        fixture.succeed(Asked::Feed);
        let own = [0, 1, 2].map(|place| fixture.faults.has_own(place));
        assert_eq!(own, [false, true, false], "{another:?}");
    }
}

#[test]
fn a_past_fault_explains_a_queue_until_it_has_newer_data() {
    let mut fixture = Fixture::new(3);
    fixture.fail(Asked::Queue(0), Fault::BadToken);
    fixture.pass(60);
    fixture.succeed(Asked::Queue(0));
    assert_eq!(fixture.kind(), None);
    assert_eq!(
        fixture.of_queues(),
        [None, Some("bad_token"), Some("bad_token")]
    );
    fixture.pass(5);
    fixture.faults.renewed(1, fixture.now);
    assert_eq!(fixture.of_queues(), [None, None, Some("bad_token")]);
}

#[test]
fn missing_queues_are_the_accounts_fault_only_if_all_are_missing() {
    let mut fixture = Fixture::new(4);
    for place in 0..3 {
        fixture.fail(Asked::Queue(place), gone(7));
        fixture.succeed(Asked::Feed);
    }
    assert_eq!(fixture.kind(), None);
    fixture.fail(Asked::Queue(3), gone(7));
    fixture.pass(1);
    fixture.succeed(Asked::Feed);
    assert_eq!(fixture.kind(), Some(FaultKind::NoSuchQueue));
    fixture.pass(1);
    fixture.succeed(Asked::Queue(2));
    assert_eq!(fixture.kind(), None);
    let gone = Some("no_such_queue");
    assert_eq!(fixture.of_queues(), [gone, gone, None, gone]);
}

#[test]
fn a_failing_list_of_all_agents_is_the_fault_of_the_queues_that_it_feeds() {
    let mut fixture = Fixture::new(3);
    fixture.faults.set_fed(2, false);
    fixture.fail(Asked::Feed, refused());
    fixture.succeed(Asked::Queue(0));
    assert_eq!(
        fixture.of_queues(),
        [Some("refused"), Some("refused"), None]
    );
    fixture.succeed(Asked::Feed);
    assert_eq!(fixture.of_queues(), [None; 3]);
}

#[test]
fn a_hundred_queues_that_fail_share_a_handful_of_lines() {
    for between in [0, 1, 20, 300] {
        let (logged, _guard) = listen();
        let mut fixture = Fixture::new(100);
        for place in 0..100 {
            fixture.fail(Asked::Queue(place), gone(1));
            fixture.fail(Asked::Queue(place), gone(1));
            fixture.succeed(Asked::Feed);
            if place < 99 {
                fixture.pass(between);
            }
        }
        fixture.pass(3600);
        let lines = logged.lines();
        assert!(lines[0].contains("main/q0"), "{lines:?}");
        let hours = 1 + between * 100 / 3600;
        assert!(
            lines.len() as u64 <= 8 * hours,
            "{}: {lines:#?}",
            lines.len()
        );
    }
}

#[test]
fn a_fault_that_comes_and_goes_is_one_fault() {
    for (away, back) in [(1, 1), (30, 90), (300, 300)] {
        let (logged, _guard) = listen();
        let mut fixture = Fixture::new(QUEUES);
        for _ in 0..3600 / (away + back) {
            fixture.fail(Asked::Feed, Fault::Throttled { until: None });
            fixture.pass(back);
            fixture.succeed(Asked::Feed);
            fixture.pass(away);
        }
        fixture.pass(3600);
        assert!(logged.lines().len() <= 4, "{:#?}", logged.lines());
    }
}

#[test]
fn a_single_failure_of_a_queue_is_not_logged() {
    let (logged, _guard) = listen();
    let mut fixture = Fixture::new(QUEUES);
    for place in 0..QUEUES {
        fixture.fail(Asked::Queue(place), refused());
        fixture.pass(5);
        fixture.succeed(Asked::Queue(place));
    }
    assert_eq!(logged.lines(), Vec::<String>::new());
}

#[test]
fn the_lines_about_the_begin_and_the_end_of_a_fault_name_it_alike() {
    let (logged, _guard) = listen();
    let mut fixture = Fixture::new(2);
    for _ in 0..IN_A_ROW {
        fixture.fail(Asked::Feed, refused());
    }
    fixture.succeed(Asked::Feed);
    fixture.pass(3600);
    let lines = logged.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in &lines {
        assert!(line.contains(" fault=\"upstream_down\""), "{line}");
    }
    assert!(lines[0].contains(" cause=\"refused\""), "{}", lines[0]);
}

#[test]
fn every_kind_has_its_own_name() {
    let names: std::collections::HashSet<_> =
        FaultKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(names.len(), FaultKind::ALL.len());
}
