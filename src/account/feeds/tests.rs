//! Tests the feeds against a small model of a CallTools that misbehaves.

mod dates;
mod pages;
mod readings;
mod recalled;

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::fixtures::agent;

/// Agents of the model, and rows on a page.
const PEOPLE: usize = 120;
/// The available agents fit on one page: a reading of several pages can miss an agent between two pages, which the next reading corrects. Readings of
/// several pages have their own tests.
const PAGE: usize = 75;

/// The milliseconds between two requests, and until one is served.
const PERIOD: u64 = 4_000;
const WAY: u64 = 150;

/// In milliseconds.
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// When dates go back by an hour.
const STEP: u64 = 300_000;

const STATUSES: [&str; 3] = ["Available", "On a Call", "Post Call"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    Nothing,
    /// `ordering=` is ignored.
    OrderingOff,
    AscendingOnly,
    /// `agent_status=` is ignored.
    FilterOff,
    BothOff,
    /// The ordered list omits four agents forever.
    LeavesOut,
    /// The same of one agent.
    LeavesOutOne,
    /// The same agents' changes do not show in the dates.
    DatesStandStill,
    /// The dates are in another time zone.
    LocalTime,
    /// One answer in three is up to this many seconds old.
    Lags(u64),
    /// Two thirds of the agents, more than a page, never have a date.
    Undated,
    /// The date of the first agent is a day ahead at every other change.
    Stray,
    /// The same by up to nine minutes.
    Ahead,
    /// The same, and `ordering=` is ignored.
    AheadAndOrderingOff,
    /// The same of two agents, by days.
    FarAhead,
    /// All dates go back by an hour at the same moment.
    StepBack,
    /// Only the dates of later changes are an hour back, as if each were in its own local time.
    LaterStepBack,
    /// An agent is deleted every minute.
    Deletes,
    /// Each agent changes every few seconds.
    TooFast,
    /// Lists are not ordered, and their pages are short, so that an agent can slip from one to another.
    ShortPages,
    /// The same, and rows cross the edge of a page while a list is read.
    RowsMove,
    /// Agents change twice as often, and the filter is ignored, so changes are read on several short pages. These lag as [`Lie::Lags`] says.
    PagesLag(u64),
}

/// The truth from a moment on: the status, and its date.
#[derive(Clone, Copy, Debug)]
struct Truth {
    from: u64,
    status: usize,
    date: Option<i64>,
}

#[derive(Debug)]
struct Person {
    name: String,
    /// The row of each status.
    rows: [Agent; 3],
    truths: Vec<Truth>,
    is_deleted: bool,
    /// How many checks in a row have found a status that looks newer than it was.
    looked_too_new: u32,
}

impl Person {
    fn at(&self, time: u64) -> Truth {
        let then = self.truths.iter().rev().find(|truth| truth.from <= time);
        *then.unwrap_or(&self.truths[0])
    }
}

struct World {
    lie: Lie,
    dice: Rng,
    now: u64,
    people: Vec<Person>,
    feeds: Feeds,
    roster: Roster,
    full: u32,
    given_up: Vec<(u64, Feed, GivenUp)>,
    changes_of_feed: Vec<(u64, Feed)>,
}

fn moment(time: u64) -> Moment {
    let start = Moment {
        boot: Duration::from_secs(10_000),
        wall: Duration::from_secs(1_795_341_600),
    };
    start.later(Duration::from_millis(time))
}

/// A status that makes an agent ready.
fn ready(id: u64) -> ReadyStatus {
    ReadyStatus {
        id,
        name: STATUSES[0].into(),
    }
}

impl World {
    fn new(lie: Lie, seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let name = |n: usize| format!("agent-{n:03}");
        let people = (0..PEOPLE).map(|n| Person {
            name: name(n),
            rows: STATUSES.map(|status| agent(&name(n), &name(n), status)),
            truths: vec![Truth {
                from: 0,
                status: dice.usize(..3),
                date: (lie != Lie::Undated || n % 3 == 0).then(|| -dice.i64(1_000..600_000)),
            }],
            is_deleted: false,
            looked_too_new: 0,
        });
        let mut world = Self {
            lie,
            people: people.collect(),
            dice,
            now: 0,
            feeds: Feeds::default(),
            roster: Roster::new(4),
            full: 1,
            given_up: Vec::new(),
            changes_of_feed: Vec::new(),
        };
        let status = vec![ready(1)];
        world
            .feeds
            .set_ready_statuses(status, &mut world.roster, moment(0));
        world
    }

    /// Lets time pass, in which agents change.
    fn pass(&mut self, time: u64) {
        let mean = match self.lie {
            Lie::TooFast => 4_000.0,
            Lie::PagesLag(_) => 30_000.0,
            _ => 60_000.0,
        };
        for place in 0..PEOPLE {
            if self.dice.f64() < time as f64 / mean {
                let at = self.now + 1 + self.dice.u64(..time);
                self.change(place, at);
            }
        }
        let minute = |time: u64| time / 60_000;
        if self.lie == Lie::Deletes && minute(self.now) < minute(self.now + time) {
            let place = self.dice.usize(..PEOPLE);
            self.people[place].is_deleted = true;
        }
        self.now += time;
    }

    fn change(&mut self, place: usize, at: u64) {
        if self.people[place].is_deleted {
            return;
        }
        let was = self.people[place].at(at);
        let stands_still = self.lie == Lie::DatesStandStill
            || self.lie == Lie::Undated && !place.is_multiple_of(3);
        let date = if stands_still {
            was.date
        } else {
            let is_odd = self.people[place].truths.len() % 2 == 1;
            let ahead = match self.lie {
                Lie::Stray if is_odd && place == 0 => DAY,
                Lie::Ahead | Lie::AheadAndOrderingOff if is_odd && place == 0 => {
                    self.dice.i64(1_000..540_000)
                }
                Lie::FarAhead if is_odd && place < 2 => DAY * (place as i64 + 1),
                Lie::LaterStepBack if at > STEP => -HOUR,
                _ => 0,
            };
            Some(at as i64 + ahead)
        };
        self.people[place].truths.push(Truth {
            from: at,
            status: (was.status + 1 + self.dice.usize(..2)) % 3,
            date,
        });
    }

    fn row(&self, place: usize, time: u64) -> Agent {
        let (person, truth) = (&self.people[place], self.people[place].at(time));
        let zone = match self.lie {
            Lie::LocalTime => -5 * HOUR,
            Lie::StepBack if self.now > STEP => -HOUR,
            _ => 0,
        };
        let date =
            |date: i64| Timestamp::from_millisecond(1_795_341_600_000 + date + zone).unwrap();
        Agent {
            status_since: truth.date.map(date),
            ..person.rows[truth.status].clone()
        }
    }

    /// Returns a page of a list, as CallTools gives it now.
    fn page(&mut self, request: Request, page: u32) -> (Vec<Agent>, bool) {
        let behind = match (self.lie, self.dice.usize(..3)) {
            (Lie::Lags(most) | Lie::PagesLag(most), 0) => self.dice.u64(..=most * 1000),
            _ => 0,
        };
        let time = self.now.saturating_sub(behind);
        let places = (0..PEOPLE).filter(|&place| !self.people[place].is_deleted);
        let mut rows: Vec<(usize, Agent)> =
            places.map(|place| (place, self.row(place, time))).collect();
        let is_ordered = !matches!(
            self.lie,
            Lie::OrderingOff
                | Lie::AheadAndOrderingOff
                | Lie::BothOff
                | Lie::ShortPages
                | Lie::RowsMove
        );
        let is_filtered = !matches!(self.lie, Lie::FilterOff | Lie::BothOff | Lie::PagesLag(_));
        match request {
            Request::Delta(_) if is_ordered => {
                let is_one = self.lie == Lie::LeavesOutOne;
                if is_one || self.lie == Lie::LeavesOut {
                    rows.retain(|(place, _)| place % if is_one { PEOPLE } else { 30 } != 7);
                }
                let is_later = |place: usize| self.people[place].at(time).from > STEP;
                let real = |place: usize, date: Timestamp| match self.lie {
                    Lie::LaterStepBack if is_later(place) => date.as_millisecond() + HOUR,
                    _ => date.as_millisecond(),
                };
                rows.sort_by_key(|(place, row)| {
                    let date = row.status_since.map(|date| real(*place, date));
                    (date.is_none(), date) // Undated rows sort as the largest.
                });
                if self.lie != Lie::AscendingOnly {
                    rows.reverse();
                }
            }
            Request::Available { .. } if is_filtered => {
                rows.retain(|(_, row)| row.available == Some(true));
            }
            _ => {}
        }
        let (size, moved) = match self.lie {
            Lie::ShortPages => (PAGE / 8, 1),
            Lie::RowsMove => (PAGE / 3, self.dice.usize(..3)),
            Lie::PagesLag(_) => (PAGE / 3, 1),
            _ => (PAGE, 1),
        };
        let size = match request {
            Request::Delta(_) => size.min(self.feeds.size_of_changes(page) as usize),
            _ => size,
        };
        let start = (page as usize - 1) * size;
        let last = start + size >= rows.len();
        let first = if page == 1 { 0 } else { start + moved - 1 };
        let rows = rows.into_iter().map(|(_, row)| row);
        (rows.skip(first).take(size).collect(), last)
    }

    /// Sends the next request for statuses.
    fn ask(&mut self) {
        let (sent, was) = (self.now, self.feeds.in_use());
        let (request, at_once) = self.feeds.next(moment(sent));
        if !at_once {
            self.pass(PERIOD);
        }
        let sent = self.now;
        self.pass(WAY);
        match request {
            Request::Full => self.full_page(sent),
            Request::Whole => {
                let (rows, last) = self.page(Request::Full, 1);
                let is_whole = self.feeds.take_whole(rows.len(), last, moment(self.now));
                assert!(!is_whole, "it is clipped here");
            }
            Request::Delta(number) => {
                let (rows, last) = self.page(request, number);
                self.notice_step_back(&rows);
                let page = DeltaPage {
                    as_of: moment(sent),
                    cached: Duration::ZERO,
                    page: number,
                    last,
                    rows: &rows,
                    skipped: 0,
                };
                let taken = self.feeds.take_delta(page, &self.roster, moment(self.now));
                self.seen(Feed::Delta, sent, &rows, taken);
            }
            Request::Available {
                status,
                page: number,
            } => {
                let (rows, last) = self.page(request, number);
                self.notice_step_back(&rows);
                let page = FilteredPage {
                    as_of: moment(sent),
                    status,
                    page: number,
                    last,
                    rows: &rows,
                    skipped: 0,
                };
                let taken = self
                    .feeds
                    .take_available(page, &self.roster, moment(self.now));
                self.seen(Feed::Available, sent, &rows, taken);
            }
        }
        if self.feeds.in_use() != was {
            self.changes_of_feed.push((self.now, self.feeds.in_use()));
        }
    }

    fn full_page(&mut self, sent: u64) {
        let number = self.full;
        let (rows, last) = self.page(Request::Full, number);
        let next = (!last).then_some(number + 1);
        self.full = next.unwrap_or(1);
        self.notice_step_back(&rows);
        let doubt = self
            .feeds
            .compare(&rows, moment(sent), &self.roster, moment(self.now));
        if let Some(taken) = doubt {
            self.follow(taken, None);
        }
        self.feeds
            .full_page(number, next, moment(sent), &rows, &self.roster);
        self.see(sent, &rows);
        if last {
            self.feeds.full_list_ended(&self.roster, moment(self.now));
            self.feeds.confirm_changes(&mut self.roster);
        }
    }

    /// Polls a queue with some of the agents.
    fn poll(&mut self, queue: usize) {
        let sent = self.now;
        self.pass(WAY);
        let time = self.now;
        let places =
            (0..PEOPLE).filter(|place| place % 4 == queue && !self.people[*place].is_deleted);
        let rows: Vec<Agent> = places.map(|place| self.row(place, time)).collect();
        self.notice_step_back(&rows);
        let doubt = self
            .feeds
            .compare(&rows, moment(sent), &self.roster, moment(self.now));
        if let Some(taken) = doubt {
            self.follow(taken, None);
        }
        self.roster
            .poll(queue, moment(sent), Duration::from_millis(WAY), true, rows);
    }

    fn seen(&mut self, feed: Feed, sent: u64, rows: &[Agent], taken: Taken) {
        let lag = self.see(sent, rows);
        let lag = self.feeds.lagged(feed, lag);
        self.follow(taken, lag);
    }

    fn notice_step_back(&mut self, rows: &[Agent]) {
        if let Some(step) = self.roster.step_back(rows) {
            self.roster.stepped_back(step);
            self.feeds.stepped_back(step);
        }
    }

    fn see(&mut self, sent: u64, rows: &[Agent]) -> Option<Moment> {
        let sighting = |agent: &Agent| Sighting {
            agent: Arc::new(agent.clone()),
            at: moment(sent),
            by_sweep: true,
        };
        self.roster.see(rows.iter().map(sighting).collect())
    }

    /// Does what the account does with a result.
    fn follow(&mut self, taken: Taken, lag: Option<Moment>) {
        self.feeds.confirm(&taken, lag, &mut self.roster);
        match taken {
            Taken::Rows => {}
            Taken::Changes { .. } | Taken::Available { .. } => {
                self.feeds.count_available(&self.roster, moment(self.now));
                self.feeds.choose(&self.roster, moment(self.now));
                self.feeds.confirm_changes(&mut self.roster);
            }
            Taken::GivenUp(feed, why) => self.given_up.push((self.now, feed, why)),
        }
    }

    fn live(&mut self, minutes: u64) {
        let end = self.now + minutes * 60_000;
        let mut turn = 0;
        while self.now < end {
            self.ask();
            turn += 1;
            if turn % 3 == 0 {
                self.poll(turn / 3 % 4);
            }
            self.check();
        }
    }

    /// Checks that nothing looks newer than CallTools showed it: each row was true at some moment since the time as of which it is known.
    fn check(&mut self) {
        // Agents can be on no page of two readings in a row, if the first pages of both come from copies that lag. The next reading shows them.
        let most_in_a_row = if matches!(self.lie, Lie::Lags(_)) {
            2
        } else {
            0
        };
        for place in 0..PEOPLE {
            let is_shown = |row: &Sighting| row.agent.available == Some(true);
            let person = &self.people[place];
            let id = AgentId(person.name.as_str().into());
            let Some(row) = self.roster.newest(&id) else {
                continue;
            };
            if self.lie == Lie::ShortPages && !is_shown(row) {
                continue; // A reading can miss an agent who has just come, and the next one corrects that.
            }
            let known = self.roster.known_as_of(row).boot - moment(0).boot;
            // If nothing has changed, a lagging answer looks like any other.
            let lag = match self.lie {
                Lie::Lags(most) => most * 1000,
                // Who has moved is on no page if the next reading's first page comes from a copy that is older than the last one's later pages.
                Lie::PagesLag(most @ 1..) => most * 1000 + 3 * PERIOD,
                _ => 0,
            };
            let since = (known.as_millis() as u64).saturating_sub(lag);
            let was_true = |truth: &Truth| (truth.status == 0) == is_shown(row);
            let then = person.at(since);
            let later = person
                .truths
                .iter()
                .rev()
                .take_while(|truth| truth.from > since);
            // Who changes just while later pages are read, in two readings in a row, can be on no page of both.
            let can_have_evaded =
                matches!(self.lie, Lie::PagesLag(_)) && later.clone().count() >= 2;
            let is_true = can_have_evaded || was_true(&then) || later.clone().any(was_true);
            let looked_too_new = match is_true || person.is_deleted || self.may_be_wrong() {
                true => 0,
                false => person.looked_too_new + 1,
            };
            assert!(
                looked_too_new <= most_in_a_row,
                "{:?} at {}: {id} is shown as {:?} as of {since}, was {then:?}, then {:?}; {:?}",
                self.lie,
                self.now,
                row.agent.status,
                later.collect::<Vec<_>>(),
                self.changes_of_feed
            );
            self.people[place].looked_too_new = looked_too_new;
        }
    }

    /// Returns whether rows may be wrong: a list that omits agents, or whose dates do not change, is noticed only within three minutes.
    fn may_be_wrong(&self) -> bool {
        let is_found_out = matches!(self.feeds.trust(Feed::Delta), Trust::Distrusted(..));
        let is_noticed_late = matches!(
            self.lie,
            Lie::LeavesOut | Lie::LeavesOutOne | Lie::DatesStandStill | Lie::Undated
        );
        // The next reading corrects what one reading omits.
        is_noticed_late && !is_found_out || self.lie == Lie::RowsMove
    }

    fn delta_is_out(&self) -> bool {
        matches!(
            self.feeds.trust(Feed::Delta),
            Trust::Distrusted(..) | Trust::Resting(_)
        )
    }
}

fn lived(lie: Lie, seed: u64, minutes: u64) -> World {
    let mut world = World::new(lie, seed);
    world.live(minutes);
    world
}

#[test]
fn an_honest_account_is_fed_by_changes() {
    for seed in 0..2 {
        let world = lived(Lie::Nothing, seed, 30);
        assert_eq!(world.feeds.in_use(), Feed::Delta, "seed {seed}");
        assert_eq!(world.given_up, [], "seed {seed}");
        let oldest = world
            .roster
            .newest_rows()
            .map(|row| world.roster.known_as_of(row).boot);
        let age = moment(world.now).boot - oldest.min().unwrap();
        assert!(age < Duration::from_secs(10), "seed {seed}: {age:?}");
    }
}

#[test]
fn ignored_parameters_are_noticed_within_two_sweeps() {
    let two_sweeps = 2 * 2 * (PEOPLE / PAGE + 1) as u64 * (PERIOD + 2 * WAY);
    for (lie, feed) in [
        (Lie::OrderingOff, Feed::Available),
        (Lie::AscendingOnly, Feed::Available),
        (Lie::FilterOff, Feed::Delta),
        (Lie::BothOff, Feed::Sweep),
    ] {
        let world = lived(lie, 1, 20);
        assert_eq!(world.feeds.in_use(), feed, "{lie:?}: {:?}", world.given_up);
        assert!(world.given_up.len() <= 2, "{lie:?}: {:?}", world.given_up);
        assert!(
            world.changes_of_feed.iter().all(|(at, _)| *at < two_sweeps),
            "{lie:?}: {:?}",
            world.changes_of_feed
        );
    }
}

#[test]
fn merely_odd_lists_keep_their_trust() {
    for seed in 0..2 {
        for lie in [Lie::LocalTime, Lie::Deletes, Lie::Stray] {
            let world = lived(lie, seed, 20);
            assert_eq!(
                world.feeds.in_use(),
                Feed::Delta,
                "{lie:?} {seed}: {:?}",
                world.given_up
            );
        }
    }
}

/// Returns rows of agents who changed one after another, the last of them first.
fn changes(count: i64) -> Vec<Agent> {
    let row = |n: i64| Agent {
        status_since: Some(Timestamp::from_second(1_795_341_000 + n).unwrap()),
        ..agent(&format!("agent-{n:03}"), "", STATUSES[0])
    };
    (0..count).rev().map(row).collect()
}

fn changes_page(time: u64, rows: &[Agent]) -> DeltaPage<'_> {
    DeltaPage {
        as_of: moment(time),
        cached: Duration::ZERO,
        page: 1,
        last: false,
        rows,
        skipped: 0,
    }
}

/// Returns feeds that use the lists of available agents and have read the first page of two, and its rows.
fn within_a_reading() -> (Feeds, Roster, Vec<Agent>) {
    let (mut feeds, mut roster) = (Feeds::default(), Roster::new(1));
    let rows = changes(300);
    let seen = |agent: &Agent| Sighting {
        agent: Arc::new(agent.clone()),
        at: moment(0),
        by_sweep: true,
    };
    roster.see(rows.iter().map(seen).collect());
    feeds.set_ready_statuses(vec![ready(1)], &mut roster, moment(0));
    (feeds.sweep_pages, feeds.known_available) = (40, 300);
    (feeds.full_at, feeds.whole) = (Some(moment(0)), WholeList::Clipped);
    feeds.choice.proved(Feed::Available);
    assert!(feeds.choose(&Roster::new(1), moment(0)));
    let page = filtered_page(1, 1, &rows[..250]);
    let taken = feeds.take_available(page, &roster, moment(PERIOD + WAY));
    assert_eq!(taken, Taken::Rows);
    let (request, at_once) = feeds.next(moment(PERIOD + WAY));
    assert_eq!(request, Request::Available { status: 1, page: 2 });
    assert!(at_once);
    (feeds, roster, rows)
}

fn filtered_page(status: u64, page: u32, rows: &[Agent]) -> FilteredPage<'_> {
    FilteredPage {
        as_of: moment(PERIOD),
        status,
        page,
        last: rows.len() < 250,
        rows,
        skipped: 0,
    }
}

#[test]
fn a_change_of_the_ready_statuses_drops_a_reading_and_its_page_under_way() {
    let (mut feeds, mut roster, rows) = within_a_reading();
    let now = moment(2 * PERIOD);
    feeds.set_ready_statuses(vec![ready(7)], &mut roster, now);
    let first = Request::Available { status: 7, page: 1 };
    assert_eq!(feeds.next(now), (first, false));
    let late = filtered_page(1, 2, &rows[250..]);
    assert_eq!(feeds.take_available(late, &roster, now), Taken::Rows);
    assert_eq!(feeds.next(now), (first, false));
}

#[test]
fn a_reading_is_as_old_as_its_page_that_lags_most() {
    // Statuses were seen at 0 and, for the first agent, a second before the reading.
    let known = |feeds: &mut Feeds, roster: &mut Roster, rows: &[Agent]| {
        let newer = Agent {
            status_since: Some(Timestamp::from_second(1_795_341_590).unwrap()),
            ..rows[0].clone()
        };
        let seen = |agent: Agent, at| Sighting {
            agent: Arc::new(agent),
            at: moment(at),
            by_sweep: true,
        };
        roster.see(vec![seen(newer, PERIOD - 1_000)]);
        let page = |rows: &[Agent]| rows.iter().map(|row| seen(row.clone(), PERIOD)).collect();
        // The first page shows the agent's earlier status again.
        let lag = roster.see(page(&rows[..250]));
        assert_eq!(lag, Some(moment(PERIOD - 1_000)));
        feeds.lagged(Feed::Available, lag);
        page(&rows[250..])
    };
    let (mut feeds, mut roster, rows) = within_a_reading();
    let second = known(&mut feeds, &mut roster, &rows);
    let page = filtered_page(1, 2, &rows[250..]);
    let taken = feeds.take_available(page, &roster, moment(PERIOD + 2 * WAY));
    assert!(matches!(taken, Taken::Available { .. }), "{taken:?}");
    let lag = roster.see(second);
    let lag = feeds.lagged(Feed::Available, lag);
    feeds.confirm(&taken, lag, &mut roster);
    let first = roster.newest(&rows[0].id).unwrap();
    assert_eq!(roster.known_as_of(first), moment(PERIOD - 1_000));
    // The next reading is not bound by that.
    let page = FilteredPage {
        as_of: moment(3 * PERIOD),
        last: true,
        ..filtered_page(1, 1, &rows)
    };
    let taken = feeds.take_available(page, &roster, moment(3 * PERIOD));
    let lag = feeds.lagged(Feed::Available, None);
    assert!(matches!(taken, Taken::Available { .. }), "{taken:?}");
    assert_eq!(lag, None);
}

#[test]
fn a_page_under_way_does_not_restore_trust() {
    let (mut feeds, roster, rows) = within_a_reading();
    let now = moment(2 * PERIOD);
    feeds.give_up(
        Feed::Available,
        GivenUp::Doubted(Doubt::Missed),
        &Roster::new(1),
        now,
    );
    let trust = feeds.trust(Feed::Available);
    assert!(matches!(trust, Trust::Distrusted(..)), "{trust:?}");
    for (number, rows) in [(2, &rows[250..]), (1, &rows[..200])] {
        let late = filtered_page(1, number, rows);
        assert_eq!(feeds.take_available(late, &roster, now), Taken::Rows);
    }
    // Nor does a page of the list of changes make openseat read on.
    feeds.give_up(
        Feed::Delta,
        GivenUp::Doubted(Doubt::Missed),
        &Roster::new(1),
        now,
    );
    let late = DeltaPage {
        page: 3,
        ..changes_page(PERIOD, &rows[..250])
    };
    assert_eq!(feeds.take_delta(late, &roster, now), Taken::Rows);
    assert_eq!(feeds.trust(Feed::Available), trust);
    assert_eq!((feeds.in_use(), feeds.unfinished), (Feed::Sweep, None));
}

#[test]
fn agents_between_two_pages_do_not_end_the_trust_in_a_filtered_list() {
    for seed in 0..4 {
        let world = lived(Lie::RowsMove, seed, 60);
        let delta = |(_, feed, _): &(u64, Feed, GivenUp)| *feed == Feed::Delta;
        assert!(world.given_up.iter().all(delta), "{:?}", world.given_up);
        assert_eq!(world.feeds.in_use(), Feed::Available, "seed {seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The world checks itself as it runs.
    #[test]
    fn nothing_looks_newer_than_it_was(seed in any::<u64>(), lie in 0..15usize) {
        let lies = [
            Lie::Nothing, Lie::OrderingOff, Lie::FilterOff, Lie::BothOff, Lie::LocalTime, Lie::Lags(20), Lie::Deletes, Lie::TooFast,
            Lie::ShortPages, Lie::Stray, Lie::Ahead, Lie::FarAhead, Lie::StepBack, Lie::LaterStepBack, Lie::AheadAndOrderingOff,
        ];
        let may_go_back = lies[lie] == Lie::StepBack;
        let mut world = World::new(lies[lie], seed);
        let mut high = None;
        for _ in 0..200 {
            world.live(0);
            world.ask();
            if world.dice.usize(..4) == 0 {
                let queue = world.dice.usize(..4);
                world.poll(queue);
            }
            world.check();
            if let Some(newest) = world.feeds.delta.high() {
                prop_assert!(high <= Some(newest) || may_go_back || world.feeds.in_use() != Feed::Delta);
                high = Some(newest);
            }
        }
    }
}
