//! What follows from how requests end, and what the log says of it.

use std::time::Duration;

use super::*;
use crate::{
    logged::listen,
    model::fault::{Down, FaultKind, NoSuchQueue},
};

const QUEUES: usize = 60;

struct Stage {
    faults: Faults,
    now: Moment,
}

impl Stage {
    /// An account that has answered once.
    fn new(queues: usize) -> Self {
        let now = Moment {
            boot: Duration::from_secs(1_000),
            wall: Duration::from_secs(1_795_341_600),
        };
        let mut faults = Faults::new("main".into(), queues);
        (0..queues).for_each(|place| faults.is_fed(place, true));
        let mut stage = Self { faults, now };
        stage.well(Asked::Statuses);
        stage
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.later(Duration::from_secs(1));
            self.say();
        }
    }

    fn well(&mut self, asked: Asked) {
        self.faults.succeeded(asked, self.now);
        self.say();
    }

    fn badly(&mut self, asked: Asked, fault: Fault) {
        self.faults.failed(asked, &Arc::new(fault), self.now);
        self.say();
    }

    fn say(&mut self) {
        let key = |place: usize| QueueKey::new("main", format!("q{place}"));
        self.faults.say(key, self.now);
    }

    fn kind(&self) -> Option<FaultKind> {
        self.faults.present().map(PresentFault::kind)
    }

    fn words(&self) -> Vec<Option<&'static str>> {
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
fn a_refused_token_is_the_accounts_fault_at_once_and_one_line() {
    let (logged, _guard) = listen();
    let mut stage = Stage::new(QUEUES);
    for place in 0..QUEUES {
        stage.badly(Asked::Queue(place), Fault::BadToken);
        stage.pass(1);
    }
    assert_eq!(stage.kind(), Some(FaultKind::BadToken));
    assert_eq!(stage.words(), [Some("bad_token"); QUEUES]);
    stage.well(Asked::Queue(3));
    assert_eq!(stage.kind(), None);
    stage.pass(3600);
    assert_eq!(logged.lines().len(), 2, "{logged:?}");
}

#[test]
fn three_failures_in_a_row_are_the_accounts_and_one_is_not() {
    let mut stage = Stage::new(QUEUES);
    stage.badly(Asked::Queue(1), refused());
    stage.badly(Asked::Feed, refused());
    assert_eq!(stage.kind(), None);
    stage.badly(Asked::Queue(2), refused());
    assert_eq!(stage.kind(), Some(FaultKind::UpstreamDown));
    assert_eq!(stage.words(), [Some("refused"); QUEUES]);
    // The present fault was met with before this was asked.
    stage.pass(1);
    stage.well(Asked::Feed);
    assert_eq!(stage.kind(), None);
}

#[test]
fn an_account_that_never_answered_has_a_fault_from_the_first_failure_on() {
    let mut stage = Stage::new(1);
    stage.faults = Faults::new("main".into(), 2);
    stage.badly(Asked::Names, refused());
    assert_eq!(stage.kind(), Some(FaultKind::UpstreamDown));
    assert_eq!(stage.words(), [Some("refused"); 2]);
}

#[test]
fn an_answer_that_was_asked_for_before_the_fault_does_not_end_it() {
    let mut stage = Stage::new(QUEUES);
    let before = stage.now;
    stage.pass(5);
    stage.badly(Asked::Feed, Fault::Throttled { until: None });
    stage.faults.succeeded(Asked::Queue(1), before);
    assert_eq!(stage.kind(), Some(FaultKind::Throttled));
}

#[test]
fn what_is_over_explains_a_queue_until_something_newer_is_known_of_it() {
    let mut stage = Stage::new(3);
    stage.badly(Asked::Queue(0), Fault::BadToken);
    stage.pass(60);
    stage.well(Asked::Queue(0));
    assert_eq!(stage.kind(), None);
    assert_eq!(stage.words(), [None, Some("bad_token"), Some("bad_token")]);
    stage.pass(5);
    stage.faults.renewed(1, stage.now);
    assert_eq!(stage.words(), [None, None, Some("bad_token")]);
}

#[test]
fn queues_that_are_gone_are_no_fault_of_the_account_until_all_are() {
    let mut stage = Stage::new(4);
    for place in 0..3 {
        stage.badly(Asked::Queue(place), gone(7));
        stage.well(Asked::Feed);
    }
    assert_eq!(stage.kind(), None);
    stage.badly(Asked::Queue(3), gone(7));
    stage.pass(1);
    stage.well(Asked::Feed);
    assert_eq!(stage.kind(), Some(FaultKind::NoSuchQueue));
    stage.pass(1);
    stage.well(Asked::Queue(2));
    assert_eq!(stage.kind(), None);
    let gone = Some("no_such_queue");
    assert_eq!(stage.words(), [gone, gone, None, gone]);
}

#[test]
fn a_list_of_everybody_that_fails_is_the_fault_of_the_queues_that_it_feeds() {
    let mut stage = Stage::new(3);
    stage.faults.is_fed(2, false);
    stage.badly(Asked::Feed, refused());
    stage.well(Asked::Queue(0));
    assert_eq!(stage.words(), [Some("refused"), Some("refused"), None]);
    stage.well(Asked::Feed);
    assert_eq!(stage.words(), [None; 3]);
}

#[test]
fn a_hundred_queues_that_fail_share_a_handful_of_lines() {
    for between in [0, 1, 20, 300] {
        let (logged, _guard) = listen();
        let mut stage = Stage::new(100);
        for place in 0..100 {
            stage.badly(Asked::Queue(place), gone(1));
            stage.badly(Asked::Queue(place), gone(1));
            stage.well(Asked::Feed);
            if place < 99 {
                stage.pass(between);
            }
        }
        stage.pass(3600);
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
fn a_fault_that_comes_and_goes_is_one_story() {
    for (away, back) in [(1, 1), (30, 90), (300, 300)] {
        let (logged, _guard) = listen();
        let mut stage = Stage::new(QUEUES);
        for _ in 0..3600 / (away + back) {
            stage.badly(Asked::Feed, Fault::Throttled { until: None });
            stage.pass(back);
            stage.well(Asked::Feed);
            stage.pass(away);
        }
        stage.pass(3600);
        assert!(logged.lines().len() <= 4, "{:#?}", logged.lines());
    }
}

#[test]
fn a_hiccup_of_one_queue_is_not_worth_a_line() {
    let (logged, _guard) = listen();
    let mut stage = Stage::new(QUEUES);
    for place in 0..QUEUES {
        stage.badly(Asked::Queue(place), refused());
        stage.pass(5);
        stage.well(Asked::Queue(place));
    }
    assert_eq!(logged.lines(), Vec::<String>::new());
}

#[test]
fn every_kind_has_a_word_of_its_own() {
    let words: std::collections::HashSet<_> =
        FaultKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(words.len(), FaultKind::ALL.len());
}
