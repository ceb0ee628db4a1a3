//! How likely an agent is free while a call waits, for somebody who knows how people in the simulator behave.
//!
//! They act independently of each other, and this follows everything that they may do. It takes all statuses to be as old as the answer says, though
//! openseat knows some of them later, and in closed worlds it does not know of other queues' calls.

use std::time::Duration;

use openseat::simulator::WorldSettings;

/// Time passes in steps of half a second: as often as a waiting call checks for an agent.
const PER_SECOND: f64 = 2.0;

/// Longer times count as these, in steps: hardly any wrap-up lasts five minutes, and no data that decides is three minutes old.
const LONGEST_WRAP_UP: usize = 600;
const LONGEST_AHEAD: usize = 360;

/// How often agents go on a break instead of becoming available, and the mean length of a break in seconds: as in the simulator.
const BREAKS: f64 = 0.04;
const MEAN_BREAK: f64 = 600.0;

/// What an agent does.
#[derive(Clone, Copy, Debug)]
pub enum Doing {
    Available,
    OnCall,
    /// For this long.
    WrapUp(Duration),
    Away,
}

impl Doing {
    /// What an agent does whose status, by its name in the simulator, has lasted this long.
    pub fn new(status: &str, lasted: Duration) -> Self {
        match status {
            "Available" => Self::Available,
            "On a Call" => Self::OnCall,
            "Post Call" => Self::WrapUp(lasted),
            _ => Self::Away,
        }
    }
}

/// See the [module](self).
pub struct Reference {
    patience: Duration,
    /// By the number of steps until the caller hangs up.
    chances: Vec<Chances>,
}

/// How likely agents are free while the call waits, by what they do.
struct Chances {
    available: f64,
    on_call: f64,
    away: f64,
    /// By the number of steps since it began.
    wrap_up: Vec<f64>,
}

impl Reference {
    pub fn new(people: &WorldSettings, patience: Duration) -> Self {
        let mut chances = vec![Chances {
            available: 1.0,
            on_call: 0.0,
            away: 0.0,
            wrap_up: vec![0.0; LONGEST_WRAP_UP + 1],
        }];
        let behaviour = Behaviour::new(people);
        for step in 1..=LONGEST_AHEAD {
            let next = behaviour.one_step_before(&chances[step - 1]);
            let available = match step <= steps(patience) {
                // The call is waiting.
                true => 1.0,
                false => next.available,
            };
            chances.push(Chances { available, ..next });
        }
        Self { patience, chances }
    }

    /// Returns how likely any of these agents is free while a call waits that arrives `ahead` of the time as of which this is what they do. Earlier
    /// calls take the `taken` likeliest agents.
    pub fn likely(
        &self,
        agents: impl Iterator<Item = Doing>,
        ahead: Duration,
        taken: usize,
    ) -> f64 {
        let until = steps(ahead + self.patience).min(LONGEST_AHEAD);
        let mut chances: Vec<_> = agents.map(|one| self.chances[until].of(one)).collect();
        chances.sort_by(|one, other| other.total_cmp(one));
        let none = chances.iter().skip(taken).map(|chance| 1.0 - chance);
        1.0 - none.product::<f64>()
    }
}

impl Chances {
    fn of(&self, agent: Doing) -> f64 {
        match agent {
            Doing::Available => self.available,
            Doing::OnCall => self.on_call,
            Doing::Away => self.away,
            Doing::WrapUp(lasted) => self.wrap_up[steps(lasted).min(LONGEST_WRAP_UP)],
        }
    }
}

/// How likely something ends within a step.
struct Behaviour {
    wait: f64,
    call: f64,
    away: f64,
    /// By the number of steps since it began.
    wrap_up: Vec<f64>,
}

impl Behaviour {
    fn new(people: &WorldSettings) -> Self {
        let ends = |mean_seconds: f64| 1.0 - (-1.0 / (PER_SECOND * mean_seconds)).exp();
        let lasts = |step: usize| lasts(people, step as f64 / PER_SECOND);
        let wrap_up_ends = |step: usize| match lasts(step) {
            lasts_until_here if lasts_until_here > 0.0 => 1.0 - lasts(step + 1) / lasts_until_here,
            _ => 1.0,
        };
        Self {
            wait: ends(people.mean_idle.as_secs_f64()),
            call: ends(people.mean_call.as_secs_f64()),
            away: ends(MEAN_BREAK),
            wrap_up: (0..=LONGEST_WRAP_UP).map(wrap_up_ends).collect(),
        }
    }

    /// Returns the chances of a step earlier.
    fn one_step_before(&self, chances: &Chances) -> Chances {
        let either = |ends: f64, then: f64, stays: f64| ends * then + (1.0 - ends) * stays;
        let or_break = |then: f64| either(BREAKS, chances.away, then);
        let wrap_up = |step: usize| {
            let stays = chances.wrap_up[(step + 1).min(LONGEST_WRAP_UP)];
            either(self.wrap_up[step], or_break(chances.available), stays)
        };
        Chances {
            available: either(self.wait, or_break(chances.on_call), chances.available),
            on_call: either(self.call, chances.wrap_up[0], chances.on_call),
            away: either(self.away, chances.available, chances.away),
            wrap_up: (0..=LONGEST_WRAP_UP).map(wrap_up).collect(),
        }
    }
}

/// Returns the share of wrap-ups that last longer than this: each is the sum of so many random parts.
fn lasts(people: &WorldSettings, seconds: f64) -> f64 {
    let mean = people.mean_wrap_up.as_secs_f64();
    if people.wrap_up_parts == 0 {
        return f64::from(u8::from(seconds < mean));
    }
    let parts = f64::from(people.wrap_up_parts);
    let passed = parts * seconds / mean;
    let mut ended = (-passed).exp();
    let mut share = ended;
    for part in 1..people.wrap_up_parts {
        ended *= passed / f64::from(part);
        share += ended;
    }
    share
}

fn steps(time: Duration) -> usize {
    (time.as_secs_f64() * PER_SECOND) as usize
}
