//! Creates a world in the middle of a day, not an empty server_with_rows.

use std::{
    collections::{BinaryHeap, HashMap, VecDeque},
    time::Duration,
};

use jiff::SignedDuration;

use super::{
    Membership, Person, QueueAction, World, WorldQueue, WorldSettings, WorldStatus,
    behaviour::{self, Activity, Shift, signed},
    hours, minutes, names,
};
use crate::model::agent::AgentId;

/// The id of the first queue: the one in the documentation's examples.
const FIRST_QUEUE: u64 = 5_450;
/// The first number of an agent.
const FIRST_AGENT: u64 = 31_001;
/// Each agent belongs to one to four queues.
const MAX_QUEUES: usize = 4;
/// Enough teams for a filter to leave some people out.
const TEAMS: u64 = 3;
/// The longest time people have been at work if there are no shifts.
const MAX_STAY: Duration = hours(6);

/// The shifts: when they begin and end, and how many people work then: a full server_with_rows by day, a thin one at night.
const SHIFTS: [(Duration, Duration, f64); 3] = [
    (hours(7), hours(11), 0.75),
    (hours(13), hours(16), 0.18),
    (hours(21), hours(23), 0.07),
];
const SHIFT_LENGTH: (Duration, Duration) = (hours(8), minutes(9 * 60));

impl World {
    /// Creates a world at its beginning, in the middle of its day.
    pub fn new(settings: WorldSettings) -> Self {
        let mut dice = fastrand::Rng::with_seed(settings.seed);
        let mut world = Self {
            now: SignedDuration::ZERO,
            frozen: false,
            statuses: statuses(&mut dice),
            queues: queues(&settings, &mut dice),
            people: Vec::with_capacity(settings.agents),
            places: HashMap::with_capacity(settings.agents),
            events: BinaryHeap::new(),
            sequence: 0,
            settings,
            dice,
            past: VecDeque::new(),
            kept: SignedDuration::ZERO,
        };
        for n in 0..world.settings.agents {
            let who = world.hire(names::agent(n));
            world.assign(who);
            world.begin_midway(who);
            world.schedule_life(who);
        }
        if world.settings.frozen {
            world.freeze();
        }
        world
    }

    /// Adds a person to the account, at home and in no queue.
    pub(super) fn hire(&mut self, name: String) -> usize {
        let who = self.people.len();
        let mut dice = self.dice.fork();
        let id = AgentId(names::uuid(&mut dice).into());
        self.places.insert(id.clone(), who);
        self.people.push(Person {
            id,
            number: FIRST_AGENT + who as u64,
            name,
            team: 1 + dice.u64(..TEAMS),
            status: behaviour::LOGGED_OUT,
            status_since: self.now,
            logged_in_since: None,
            memberships: Vec::new(),
            call: None,
            calls: 0,
            calls_inbound: 0,
            removed: false,
            activity: Activity::Off,
            generation: 0,
            shift: None,
            lunch_due: false,
            leaving_due: false,
            dice,
        });
        who
    }

    /// Gives a person queues and, if people have shifts, hours.
    fn assign(&mut self, who: usize) {
        let person = &mut self.people[who];
        let mut left: Vec<(usize, f64)> = self
            .queues
            .iter()
            .enumerate()
            .map(|(place, queue)| (place, queue.popularity))
            .collect();
        for _ in 0..person.dice.usize(1..=MAX_QUEUES) {
            let Some(place) = behaviour::pick(&mut person.dice, &left) else {
                break;
            };
            left.retain(|&(other, _)| other != place);
            self.queues[place].members.push(who);
            person.memberships.push(Membership {
                queue: self.queues[place].id,
                logged_in: false,
                generation: 0,
            });
        }
        if self.settings.shifts {
            person.shift = Some(shift(&mut person.dice));
        }
    }

    /// Puts a person where they would be if the world had been running for long.
    fn begin_midway(&mut self, who: usize) {
        let hours_left = self.left_of_shift(who);
        let shift = self.people[who].shift;
        match (shift, hours_left) {
            (Some(shift), Some((_, to_end))) => {
                self.begin_at_work(who, signed(shift.length) - to_end);
            }
            (Some(_), None) => self.begin_at_home(who),
            (None, _) => {
                let share = self.people[who].dice.f64();
                self.begin_at_work(who, signed(MAX_STAY.mul_f64(share)));
            }
        }
    }

    fn begin_at_work(&mut self, who: usize, worked: SignedDuration) {
        let settings = &self.settings;
        // By the time that people spend in each state.
        let shares = [
            ((Activity::Idle, settings.mean_idle), 1.0),
            (
                (Activity::Talking, settings.mean_call),
                1.0 - behaviour::BREAK_SHARE,
            ),
            (
                (Activity::WrapUp, settings.mean_wrap_up),
                1.0 - behaviour::BREAK_SHARE,
            ),
            (
                (Activity::Away, behaviour::MEAN_BREAK),
                2.0 * behaviour::BREAK_SHARE,
            ),
        ]
        .map(|((activity, mean), often)| ((activity, mean), often * mean.as_secs_f64()));
        let person = &mut self.people[who];
        let (activity, mean) =
            behaviour::pick(&mut person.dice, &shares).expect("there are four shares");
        let since = person.draw(mean).min(worked);
        match activity {
            Activity::Talking => self.begin_call_midway(who),
            Activity::WrapUp => self.enter(who, activity, behaviour::POST_CALL),
            Activity::Away => self.enter(who, activity, behaviour::NOT_AVAILABLE),
            _ => self.enter(who, activity, behaviour::AVAILABLE),
        }
        self.backdate(who, since, worked);
    }

    fn begin_call_midway(&mut self, who: usize) {
        // The login comes first, so that the call can come from one of the queues.
        self.enter(who, Activity::Idle, behaviour::AVAILABLE);
        let queue = self.draw_queue(who);
        self.begin_call(who, queue);
    }

    /// Puts a person at home; some have not logged off.
    fn begin_at_home(&mut self, who: usize) {
        let person = &mut self.people[who];
        let gone = person.draw(behaviour::MEAN_FORGOTTEN);
        if person.happens(behaviour::FORGET_SHARE) {
            self.enter(who, Activity::Forgot, behaviour::AVAILABLE);
            self.backdate(who, gone, gone + signed(SHIFT_LENGTH.0));
        } else {
            self.people[who].status_since = self.now - gone;
        }
    }

    /// Moves the start of what was just entered into the past.
    fn backdate(&mut self, who: usize, since: SignedDuration, logged_in: SignedDuration) {
        let now = self.now;
        let person = &mut self.people[who];
        person.status_since = now - since;
        person.logged_in_since = Some(now - logged_in);
        if let Some(call) = &mut person.call {
            call.start -= since;
            call.answered -= since;
        }
    }
}

/// Creates the four statuses that every account starts with and two of its own, with ids that depend on the seed.
fn statuses(dice: &mut fastrand::Rng) -> Vec<WorldStatus> {
    let mut id = dice.u64(100..900);
    [
        ("Available", QueueAction::SetReady),
        ("Not Available", QueueAction::SetNotReady),
        ("Post Call", QueueAction::SetNotReady),
        ("On a Call", QueueAction::NoAction),
        ("Lunch", QueueAction::SetNotReady),
        ("Gone for the Day", QueueAction::Logout),
    ]
    .map(|(name, queue_action)| {
        id += dice.u64(1..=3);
        WorldStatus {
            id,
            name: name.to_owned(),
            queue_action,
        }
    })
    .into()
}

fn queues(settings: &WorldSettings, dice: &mut fastrand::Rng) -> Vec<WorldQueue> {
    let mut id = FIRST_QUEUE;
    (0..settings.queues)
        .map(|n| {
            let queue = WorldQueue {
                id,
                name: names::queue(n),
                popularity: (n as f64 + 1.0).powf(-settings.skew),
                members: Vec::new(),
            };
            // Other accounts create queues too, so the ids of one are not consecutive.
            id += dice.u64(1..=9);
            queue
        })
        .collect()
}

fn shift(dice: &mut fastrand::Rng) -> Shift {
    let kinds = SHIFTS.map(|(earliest, latest, share)| ((earliest, latest), share));
    let (earliest, latest) = behaviour::pick(dice, &kinds).expect("there are three kinds of shift");
    let mut between = |least: Duration, most: Duration| least + (most - least).mul_f64(dice.f64());
    Shift {
        begins: between(earliest, latest),
        length: between(SHIFT_LENGTH.0, SHIFT_LENGTH.1),
    }
}
