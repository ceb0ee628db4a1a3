//! Conditions that last, end, recur and survive the process.

use super::*;
use crate::{
    cluster::member::{NodeStatus, Status},
    config::Condition,
};

const START: Moment = Moment {
    boot: Duration::from_secs(500_000),
    wall: Duration::from_secs(1_795_341_600),
};
const AFTER: Duration = Duration::from_secs(300);

fn at(seconds: u64) -> Moment {
    START.later(Duration::from_secs(seconds))
}

fn subject(condition: Condition) -> Subject {
    let of_queue = matches!(
        condition,
        Condition::NoSeats | Condition::NoPermission | Condition::NoSuchQueue
    );
    Subject {
        condition,
        account: (!matches!(condition, Condition::State | Condition::Cluster))
            .then(|| "main".into()),
        queue: of_queue.then(|| "sales".into()),
    }
}

fn evidence(asked: Option<u64>) -> Evidence {
    Evidence {
        since: None,
        what: "something is wrong".to_owned(),
        advice: "mend it".to_owned(),
        asked,
    }
}

/// A day of one recipient, who wants every condition that has lasted five minutes.
struct Day {
    tracker: Tracker,
    condition: Condition,
    asked: Option<u64>,
    /// When the account's newest data was read.
    newest: u64,
    has_seats: bool,
    sent: Vec<(u64, bool)>,
}

impl Day {
    fn new(condition: Condition) -> Self {
        Self {
            tracker: Tracker::default(),
            condition,
            asked: (condition == Condition::NoSeats).then_some(0),
            newest: 0,
            has_seats: true,
            sent: Vec::new(),
        }
    }

    /// Looks every five seconds, with or without the condition. Records when a message is sent, and whether it reports a beginning.
    fn pass(&mut self, seconds: std::ops::Range<u64>, lasts: bool) -> &mut Self {
        for second in seconds.step_by(5) {
            let lasting = [(subject(self.condition), evidence(self.asked))];
            let lasting = if lasts { &lasting[..] } else { &[] };
            let sight = Sight::with(lasting, at(self.newest), self.has_seats);
            let news = self.tracker.look(&sight, |_| Some(AFTER), at(second));
            let sent = news.iter().map(|news| (second, news.until.is_none()));
            self.sent.extend(sent);
        }
        self
    }
}

#[test]
fn one_message_when_it_has_lasted_and_one_when_it_has_ended() {
    for condition in Condition::ALL {
        let mut day = Day::new(*condition);
        day.pass(0..150, true);
        day.asked = day.asked.map(|asked| asked + 1);
        day.pass(150..1000, true);
        day.newest = 1000;
        day.pass(1000..2000, false);
        assert_eq!(day.sent, [(300, true), (1060, false)], "{condition:?}");
        assert_eq!(day.tracker, Tracker::default(), "nothing is left");
    }
}

#[test]
fn queues_that_are_told_together_have_one_beginning_until_each_has_ended() {
    let queue = |name: &str| Subject {
        queue: Some(name.into()),
        ..subject(Condition::NoSeats)
    };
    let mut tracker = Tracker::default();
    let mut look = |queues: &[&str], asked: u64, second: u64| {
        let lasting: Vec<_> = queues
            .iter()
            .map(|name| (queue(name), evidence(Some(asked))))
            .collect();
        let sight = Sight::with(&lasting, at(second), true).and_queue("support");
        let news = tracker
            .look(&sight, |_| Some(AFTER), at(second))
            .into_iter();
        let told = news.map(|news| (news.since, news.until.is_none()));
        told.collect::<Vec<_>>()
    };
    assert_eq!(look(&["sales"], 0, 0), []);
    assert_eq!(look(&["sales", "support"], 0, 120), []);
    assert_eq!(look(&["sales", "support"], 1, 600), [(at(0), true); 2]);
    assert_eq!(look(&["support"], 1, 700), []);
    assert_eq!(look(&["support"], 1, 800), [(at(0), false)]);
    assert_eq!(look(&[], 1, 900), []);
    assert_eq!(look(&[], 1, 1_000), [(at(0), false)]);
}

#[test]
fn queues_that_are_told_one_after_the_other_have_messages_of_their_own() {
    let queue = |name: &str, asked: u64| {
        let subject = Subject {
            queue: Some(name.into()),
            ..subject(Condition::NoSeats)
        };
        (subject, evidence(Some(asked)))
    };
    let mut tracker = Tracker::default();
    let mut ids = |asked: [u64; 2], second: u64| {
        let lasting = [queue("sales", asked[0]), queue("support", asked[1])];
        let sight = Sight::with(&lasting, at(second), true).and_queue("support");
        let news = tracker.look(&sight, |_| Some(AFTER), at(second));
        let messages = super::super::message::messages(&news, at(second), "router-1");
        let id = |json: &bytes::Bytes| {
            let message: serde_json::Value = serde_json::from_slice(json).unwrap();
            message["id"].as_str().unwrap().to_owned()
        };
        messages.iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(ids([0, 0], 0), [""; 0]);
    // Both have had no seats since the same look, but calls come at different times.
    let first = ids([1, 0], 600);
    let second = ids([1, 1], 720);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second);
}

#[test]
fn a_wall_clock_that_is_set_back_delays_no_message() {
    const HOUR: Duration = Duration::from_secs(3600);
    let set_back = |seconds| Moment {
        wall: at(seconds).wall - HOUR,
        ..at(seconds)
    };
    let mut tracker = Tracker::default();
    let mut look = |lasts: bool, newest: u64, now: Moment| {
        let lasting = [(subject(Condition::BadToken), evidence(None))];
        let lasting = if lasts { &lasting[..] } else { &[] };
        let sight = Sight::with(lasting, at(newest), true);
        let news = tracker.look(&sight, |_| Some(AFTER), now);
        news.iter().map(|news| news.until).collect::<Vec<_>>()
    };
    assert_eq!(look(true, 0, at(0)), []);
    assert_eq!(look(true, 0, set_back(295)), []);
    assert_eq!(look(true, 0, set_back(300)), [None], "it has begun");
    // It ends while the wall clock is right again, which is then set back once more.
    assert_eq!(look(false, 400, at(400)), []);
    assert_eq!(look(false, 400, set_back(455)), []);
    assert_eq!(look(false, 400, set_back(460)), [Some(at(400))]);
}

#[test]
fn a_condition_that_ends_early_is_not_reported() {
    let mut day = Day::new(Condition::UpstreamDown);
    day.pass(0..290, true);
    day.newest = 290;
    day.pass(290..1000, false);
    assert_eq!(day.sent, []);
}

#[test]
fn a_fault_that_comes_and_goes_is_one_condition() {
    let mut day = Day::new(Condition::UpstreamDown);
    for round in 0..20 {
        day.newest = round * 60 + 40;
        day.pass(round * 60..round * 60 + 40, true);
        day.pass(round * 60 + 40..round * 60 + 60, false);
    }
    assert_eq!(day.sent, [(300, true)]);
}

#[test]
fn no_seats_are_reported_only_if_calls_arrive() {
    let mut day = Day::new(Condition::NoSeats);
    day.pass(0..3600, true);
    assert_eq!(day.sent, [], "no call has arrived");
    day.asked = Some(1);
    day.pass(3600..3700, true);
    assert_eq!(day.sent, [(3600, true)]);
    day.has_seats = false;
    day.pass(3700..7200, false);
    assert_eq!(day.sent.len(), 1, "unknown seats count as no seats");
    day.has_seats = true;
    day.pass(7200..7300, false);
    assert_eq!(day.sent, [(3600, true), (7260, false)]);
}

#[test]
fn the_hours_in_which_a_queue_is_closed_do_not_count() {
    const NIGHT: std::ops::Range<u64> = 1_000..51_000;
    let queues = [
        Condition::NoSeats,
        Condition::NoPermission,
        Condition::NoSuchQueue,
    ];
    for condition in queues {
        for was_told in [false, true] {
            let mut day = Day::new(condition);
            day.asked = day.asked.map(|asked| asked + 1);
            let begun = if was_told { 600 } else { 900 };
            day.pass(begun..begun + 5, true);
            day.asked = day.asked.map(|asked| asked + 1);
            day.pass(begun + 5..1_000, true);
            for second in NIGHT.step_by(500) {
                let sight = Sight::with(&[], at(0), false).closed();
                let news = day.tracker.look(&sight, |_| Some(AFTER), at(second));
                assert_eq!(news, [], "{condition:?}");
            }
            day.pass(51_000..51_005, true);
            day.asked = day.asked.map(|asked| asked + 1);
            day.pass(51_005..51_400, true);
            let told = if was_told { 900 } else { 51_300 };
            assert_eq!(day.sent, [(told, true)], "{condition:?} {was_told}");
        }
    }
}

#[test]
fn a_process_that_has_not_polled_yet_ends_no_condition() {
    let queues = [Condition::NoPermission, Condition::NoSuchQueue];
    for condition in [Condition::BadToken, Condition::UpstreamDown]
        .into_iter()
        .chain(queues)
    {
        let mut day = Day::new(condition);
        day.pass(0..400, true);
        // As after a restart: an earlier process reported it, and there is no fault.
        let restored = day.tracker.lasting.iter().map(|(subject, lasting)| {
            let Lasting {
                since,
                seen,
                told,
                asked,
                ..
            } = *lasting;
            (subject.clone(), Lasting::restored(since, seen, told, asked))
        });
        day.tracker = Tracker {
            lasting: restored.collect(),
        };
        day.pass(400..1000, false);
        day.pass(1000..1500, true);
        assert_eq!(day.sent, [(300, true)], "{condition:?}");
        day.newest = 1600;
        day.pass(1600..1700, false);
        assert_eq!(day.sent, [(300, true), (1660, false)], "{condition:?}");
    }
}

#[test]
fn a_condition_that_began_before_the_first_look_counts_from_its_beginning() {
    let mut tracker = Tracker::default();
    let old = Evidence {
        since: Some(START),
        ..evidence(None)
    };
    let sight = Sight::with(&[(subject(Condition::BadToken), old)], START, true);
    let news = tracker.look(&sight, |_| Some(AFTER), at(4000));
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].since, START);
}

#[test]
fn conditions_that_are_no_longer_wanted_or_configured_are_dropped_silently() {
    let mut day = Day::new(Condition::BadToken);
    day.pass(0..400, true);
    let mut tracker = day.tracker.clone();
    let sight = Sight::with(
        &[(subject(Condition::BadToken), evidence(None))],
        START,
        true,
    );
    assert_eq!(tracker.look(&sight, |_| None, at(400)), []);
    assert_eq!(tracker, Tracker::default());
    assert_eq!(
        day.tracker
            .look(&Sight::default(), |_| Some(AFTER), at(400)),
        []
    );
    assert_eq!(day.tracker, Tracker::default());
}

#[test]
fn without_a_delay_each_change_is_reported() {
    let mut tracker = Tracker::default();
    let seen = [(subject(Condition::State), evidence(None))];
    let mut look = |lasting: &[_], second| {
        let sight = Sight::with(lasting, START, true);
        tracker
            .look(&sight, |_| Some(Duration::ZERO), at(second))
            .len()
    };
    assert_eq!((look(&seen, 0), look(&[], 5), look(&seen, 10)), (1, 1, 1));
}

#[test]
fn a_cluster_without_its_engine_is_reported_until_the_engine_answers() {
    let asked = Status {
        asked: true,
        ..Status::default()
    };
    let well = Status {
        up: true,
        leads: true,
        nodes: vec![NodeStatus {
            name: "router-1".to_owned(),
            leads: true,
            behind: 0,
        }],
        ..asked.clone()
    };
    let mut tracker = Tracker::default();
    let look = |tracker: &mut Tracker, status: &Status, second| {
        let mut sight = Sight::default();
        let accounts = ["main", "lab"].map(|name| (name.into(), status.clone()));
        sight.cluster(accounts.into_iter(), at(second));
        tracker.look(&sight, |_| Some(AFTER), at(second))
    };
    assert_eq!(look(&mut tracker, &asked, 0), []);
    let news = look(&mut tracker, &asked, 300);
    let evidence = news[0]
        .evidence
        .as_ref()
        .expect("the message has its evidence");
    assert_eq!(
        evidence.what,
        "the cluster's engine does not answer (accounts: \"main\", \"lab\")"
    );
    assert_eq!((news.len(), &news[0].subject.account), (1, &None));
    // Another process, which has sent nothing yet.
    for second in [310, 400] {
        assert_eq!(look(&mut tracker, &Status::default(), second), []);
    }
    assert_eq!(look(&mut tracker, &well, 410), []);
    assert_eq!(look(&mut tracker, &well, 470)[0].until, Some(at(410)));
    // Without a leader nothing is polled either.
    let leaderless = Status {
        up: true,
        ..asked.clone()
    };
    assert_eq!(look(&mut tracker, &leaderless, 500), []);
    let news = look(&mut tracker, &leaderless, 800);
    let what = &news[0]
        .evidence
        .as_ref()
        .expect("the message has its evidence")
        .what;
    assert!(what.starts_with("no node of the cluster leads"), "{what}");
}
