//! What people do next, and when.
//!
//! Each person does one thing at a time ([`Activity`]), which a scheduled event ends. Logins to queues and shifts have their own events. An event
//! of an old generation is ignored: something else happened first.

use std::{cmp::Reverse, time::Duration};

use jiff::SignedDuration;

use super::{Call, Membership, QueueAction, World, hours, minutes, names};

// The statuses that every account starts with, by their places in its list. Names may change, places do not.
pub(super) const AVAILABLE: usize = 0;
pub(super) const NOT_AVAILABLE: usize = 1;
pub(super) const POST_CALL: usize = 2;
pub(super) const ON_A_CALL: usize = 3;
// Two that this account added.
pub(super) const LUNCH: usize = 4;
pub(super) const LOGGED_OUT: usize = 5;

/// The chance of a break when the next call or wait would begin: about one break an hour.
pub(super) const BREAK_SHARE: f64 = 0.04;
/// The mean length of a break.
pub(super) const MEAN_BREAK: Duration = minutes(10);
/// The shortest and the longest lunch.
const LUNCH_TIME: (Duration, Duration) = (minutes(25), minutes(40));
/// The share of people who go home without logging off. It is small, but each of them looks like an open seat all night.
pub(super) const FORGET_SHARE: f64 = 0.04;
/// The mean time until a supervisor logs them off; by then it is often morning.
pub(super) const MEAN_FORGOTTEN: Duration = hours(8);
/// The share of their queues that people log in to when they start work: the equilibrium of the two times below.
pub(super) const LOGGED_IN_SHARE: f64 = 0.86;
/// Logins change over hours: a supervisor moves people between queues, and mostly back within the hour.
const MEAN_LOGGED_IN: Duration = hours(4);
const MEAN_LOGGED_OUT: Duration = minutes(40);
/// The most that people are late for work.
const LATE: Duration = minutes(12);
/// The longest time the phone rings before the agent is connected.
const RINGING: Duration = Duration::from_secs(8);
pub(super) const DAY: Duration = hours(24);

/// What a person is doing; their status follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// At home, logged off.
    Off,
    /// Available, waiting for a call.
    Idle,
    /// On a call.
    Talking,
    /// Writing up the last call.
    WrapUp,
    /// On a break or at lunch.
    Away,
    /// At home, and still Available.
    Forgot,
}

/// When a person works, every day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shift {
    /// Time of day.
    pub(super) begins: Duration,
    pub(super) length: Duration,
}

/// A future event of one person. Ordered by time, then by the order in which they were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    pub(super) at: SignedDuration,
    sequence: u64,
    who: usize,
    what: Happening,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// Their current activity ends.
    Next {
        generation: u32,
    },
    /// They log in to a queue, or out of it.
    Flag {
        queue: u64,
        generation: u32,
    },
    ShiftBegins,
    LunchDue,
    ShiftEnds,
}

/// Converts a drawn time. Draws are a few days at most, so nothing that matters is cut off.
pub(super) fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}

impl World {
    /// Advances to `time` since the world's start. An earlier time changes nothing.
    pub fn advance_to(&mut self, time: Duration) {
        let time = signed(time);
        while let Some(Reverse(event)) = self.events.peek().copied()
            && event.at <= time
        {
            self.events.pop();
            self.now = event.at;
            self.happen(event);
        }
        self.now = self.now.max(time);
    }

    fn happen(&mut self, event: Event) {
        let who = event.who;
        if self.people[who].removed {
            return;
        }
        match event.what {
            Happening::Next { generation } if generation == self.people[who].generation => {
                self.go_on(who);
            }
            Happening::Flag { queue, generation } => self.flip_flag(who, queue, generation),
            Happening::ShiftBegins => self.begin_shift(who),
            Happening::LunchDue => self.people[who].lunch_due = true,
            Happening::ShiftEnds => self.end_shift(who),
            Happening::Next { .. } => {} // Overtaken.
        }
    }

    /// Decides what a person does when an activity ends.
    fn go_on(&mut self, who: usize) {
        match self.people[who].activity {
            Activity::Talking => self.enter(who, Activity::WrapUp, POST_CALL),
            Activity::Forgot => self.enter(who, Activity::Off, LOGGED_OUT),
            Activity::Off => {}
            Activity::Idle | Activity::WrapUp | Activity::Away => self.choose(who),
        }
    }

    /// Decides between two calls: people go home, to lunch or on a break if it is time; otherwise they keep working.
    fn choose(&mut self, who: usize) {
        let person = &mut self.people[who];
        let activity = person.activity;
        if person.leaving_due {
            self.go_home(who);
        } else if std::mem::take(&mut person.lunch_due) {
            self.enter(who, Activity::Away, LUNCH);
        } else if activity != Activity::Away && person.happens(BREAK_SHARE) {
            self.enter(who, Activity::Away, NOT_AVAILABLE);
        } else if activity == Activity::Idle {
            let queue = self.draw_queue(who);
            self.begin_call(who, queue);
        } else {
            self.enter(who, Activity::Idle, AVAILABLE);
        }
    }

    fn go_home(&mut self, who: usize) {
        let person = &mut self.people[who];
        person.leaving_due = false;
        if person.happens(FORGET_SHARE) {
            self.enter(who, Activity::Forgot, AVAILABLE);
        } else {
            self.enter(who, Activity::Off, LOGGED_OUT);
        }
    }

    fn begin_shift(&mut self, who: usize) {
        let person = &mut self.people[who];
        person.leaving_due = false;
        person.lunch_due = false;
        let Some(shift) = person.shift else { return };
        // People who forgot to log off last night start here too.
        if matches!(person.activity, Activity::Off | Activity::Forgot) {
            self.enter(who, Activity::Idle, AVAILABLE);
        }
        self.schedule(who, signed(shift.length / 2), Happening::LunchDue);
        self.schedule(who, signed(shift.length), Happening::ShiftEnds);
    }

    fn end_shift(&mut self, who: usize) {
        self.people[who].leaving_due = true;
        self.schedule_next_shift(who);
    }

    /// Draws the queue of the next call from those the agent is logged in to, popular ones more often. `None` is a call that the
    /// dialer makes.
    pub(super) fn draw_queue(&mut self, who: usize) -> Option<u64> {
        let person = &self.people[who];
        let weights: Vec<(u64, f64)> = self
            .queues
            .iter()
            .filter(|queue| person.logged_in_to(queue.id))
            // Queues added later have no popularity of their own, but do get calls.
            .map(|queue| (queue.id, queue.popularity.max(0.01)))
            .collect();
        pick(&mut self.people[who].dice, &weights)
    }

    /// Begins a call now.
    pub(super) fn begin_call(&mut self, who: usize, queue: Option<u64>) {
        let share = self.settings.calls_without_status;
        let person = &mut self.people[who];
        // A world without such calls draws nothing, so its events are the same as before this option existed.
        let keeps_status = share > 0 && person.happens(f64::from(share) / 100.0);
        let status = if keeps_status {
            person.status
        } else {
            ON_A_CALL
        };
        self.call(who, queue, status);
    }

    fn call(&mut self, who: usize, queue: Option<u64>, status: usize) {
        self.enter(who, Activity::Talking, status);
        let now = self.now;
        let person = &mut self.people[who];
        let ringing = person.between(Duration::ZERO, RINGING);
        person.calls += 1;
        person.calls_inbound += u64::from(queue.is_some());
        person.call = Some(Call {
            uuid: names::uuid(&mut person.dice),
            queue,
            start: now - ringing,
            answered: now,
        });
    }

    /// Puts a person into a status, and into the activity that fits it.
    pub(super) fn put_into(&mut self, who: usize, status: usize) {
        let activity = match (status, self.statuses[status].queue_action) {
            (ON_A_CALL, _) => return self.call(who, None, ON_A_CALL),
            (POST_CALL, _) => Activity::WrapUp,
            (_, QueueAction::SetReady) => Activity::Idle,
            (_, QueueAction::Logout) => Activity::Off,
            _ => Activity::Away,
        };
        self.enter(who, activity, status);
    }

    /// Starts an activity. Every change goes through here.
    pub(super) fn enter(&mut self, who: usize, activity: Activity, status: usize) {
        self.remember(who);
        let now = self.now;
        let person = &mut self.people[who];
        let was_off = person.logged_in_since.is_none();
        if person.status != status {
            person.status_since = now;
        }
        person.status = status;
        person.activity = activity;
        person.call = None;
        match activity {
            Activity::Off => self.log_off(who),
            _ if was_off => self.log_on(who),
            _ => {}
        }
        self.schedule_next(who);
    }

    /// Logs a person in to most of their queues when they start work; in a frozen world to all, so that tests meet no surprise.
    fn log_on(&mut self, who: usize) {
        let now = self.now;
        self.people[who].logged_in_since = Some(now);
        for place in 0..self.people[who].memberships.len() {
            let person = &mut self.people[who];
            let logged_in = self.frozen || person.happens(LOGGED_IN_SHARE);
            let queue = person.memberships[place].queue;
            self.set_flag(who, queue, logged_in);
        }
    }

    fn log_off(&mut self, who: usize) {
        let person = &mut self.people[who];
        person.logged_in_since = None;
        for membership in &mut person.memberships {
            membership.logged_in = false;
            membership.generation += 1;
        }
    }

    /// Logs a person in to a queue or out of it, and makes them a member.
    pub(super) fn set_flag(&mut self, who: usize, queue: u64, logged_in: bool) {
        self.remember(who);
        let memberships = &mut self.people[who].memberships;
        match memberships.iter_mut().find(|m| m.queue == queue) {
            Some(membership) => membership.logged_in = logged_in,
            None => memberships.push(Membership {
                queue,
                logged_in,
                generation: 0,
            }),
        }
        self.schedule_flag(who, queue);
    }

    fn flip_flag(&mut self, who: usize, queue: u64, generation: u32) {
        let membership = self.people[who].membership(queue);
        if let Some(membership) = membership.filter(|m| m.generation == generation) {
            let logged_in = !membership.logged_in;
            self.set_flag(who, queue, logged_in);
        }
    }

    /// Draws all coming events of one person.
    pub(super) fn schedule_life(&mut self, who: usize) {
        self.schedule_next(who);
        let queues: Vec<u64> = self.people[who]
            .memberships
            .iter()
            .map(|m| m.queue)
            .collect();
        for queue in queues {
            self.schedule_flag(who, queue);
        }
        match self.left_of_shift(who) {
            Some((to_lunch, to_end)) => {
                if let Some(to_lunch) = to_lunch {
                    self.schedule(who, to_lunch, Happening::LunchDue);
                }
                self.schedule(who, to_end, Happening::ShiftEnds);
            }
            None => self.schedule_next_shift(who),
        }
    }

    fn schedule_next(&mut self, who: usize) {
        let settings = &self.settings;
        let person = &mut self.people[who];
        person.generation += 1;
        let generation = person.generation;
        let lasts = match person.activity {
            Activity::Off => return,
            Activity::Idle => person.draw(settings.mean_idle),
            Activity::Talking => person.draw(settings.mean_call),
            Activity::WrapUp => person.draw_wrap_up(settings),
            Activity::Away if person.status == LUNCH => person.between(LUNCH_TIME.0, LUNCH_TIME.1),
            Activity::Away => person.draw(MEAN_BREAK),
            Activity::Forgot => person.draw(MEAN_FORGOTTEN),
        };
        self.schedule(who, lasts, Happening::Next { generation });
    }

    fn schedule_flag(&mut self, who: usize, queue: u64) {
        let person = &mut self.people[who];
        let Some(membership) = person.memberships.iter_mut().find(|m| m.queue == queue) else {
            return;
        };
        membership.generation += 1;
        let (logged_in, generation) = (membership.logged_in, membership.generation);
        if person.activity == Activity::Off {
            return; // Nobody logs in to a queue from home.
        }
        let lasts = person.draw(if logged_in {
            MEAN_LOGGED_IN
        } else {
            MEAN_LOGGED_OUT
        });
        self.schedule(who, lasts, Happening::Flag { queue, generation });
    }

    fn schedule_next_shift(&mut self, who: usize) {
        let Some(shift) = self.people[who].shift else {
            return;
        };
        let late = self.people[who].between(Duration::ZERO, LATE);
        let begins = signed(self.until(shift.begins)) + late;
        self.schedule(who, begins, Happening::ShiftBegins);
    }

    fn schedule(&mut self, who: usize, after: SignedDuration, what: Happening) {
        if self.frozen {
            return;
        }
        self.sequence += 1;
        self.events.push(Reverse(Event {
            at: self.now.saturating_add(after),
            sequence: self.sequence,
            who,
            what,
        }));
    }

    /// Returns the times until lunch, if it is still ahead, and until the end of the shift; `None` outside working hours.
    pub(super) fn left_of_shift(
        &self,
        who: usize,
    ) -> Option<(Option<SignedDuration>, SignedDuration)> {
        let shift = self.people[who].shift?;
        let worked = DAY - self.until(shift.begins);
        let to_end = shift.length.checked_sub(worked)?;
        let to_lunch = (shift.length / 2).checked_sub(worked);
        Some((to_lunch.map(signed), signed(to_end)))
    }

    /// Returns the time until the next `time_of_day`: more than zero, at most a day.
    pub(super) fn until(&self, time_of_day: Duration) -> Duration {
        let day = DAY.as_nanos();
        let shows = (self.settings.time_of_day + self.now()).as_nanos() % day;
        let ahead = (time_of_day.as_nanos() % day + day - shows) % day;
        let ahead = if ahead == 0 { day } else { ahead };
        // A day is 8.64e13 ns: far inside u64.
        Duration::from_nanos(ahead as u64)
    }
}

/// Draws one of several by weight; `None` if there are none.
pub(super) fn pick<T: Copy>(dice: &mut fastrand::Rng, weights: &[(T, f64)]) -> Option<T> {
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut left = dice.f64() * total;
    let mut choice = None;
    for &(item, weight) in weights {
        choice = Some(item);
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    choice
}
