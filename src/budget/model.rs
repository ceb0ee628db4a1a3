//! The promise, put to the test: a machine whose clocks are stepped, which sleeps, reboots and kills its processes at random, whose state
//! folder comes and goes and is damaged, and a far side that keeps the true time of each arrival.

use std::{fs, path::PathBuf, sync::Mutex, time::Duration};

use proptest::prelude::*;

use super::{
    Ledger, Payer, Purpose,
    ledger::Admission,
    window::{Allowance, HOUR},
};
use crate::clock::{Clock, Moment};

/// What can happen to a machine.
#[derive(Clone, Debug)]
enum Event {
    /// Time passes, asleep or awake: both clocks go on.
    Pass {
        seconds: u32,
    },
    /// The wall clock is set, while the process runs or while it is down.
    StepWall {
        seconds: i32,
        while_down: bool,
    },
    /// The process is killed in the middle of whatever it does, and starts again.
    Kill,
    /// The machine is off for a while; boot time starts again, and the wall clock may have fallen behind. (One that is ahead
    /// after a reboot cannot be found out by anybody.)
    Reboot {
        seconds: u32,
        behind_seconds: u32,
    },
    /// The process is started again in a time namespace, where boot time is another.
    Namespace {
        boot_offset_seconds: u32,
    },
    /// Requests are sent as fast as the ledger allows; each answer takes this long.
    Burst {
        wanted: u8,
        latency_ms: u16,
        purpose: u8,
    },
    /// A second process with the same state sends, then ends.
    Beside {
        wanted: u8,
        latency_ms: u16,
    },
    /// The state folder can no longer be used, or can be again: a disk that is read-only, failing or unmounted.
    FolderGoes,
    FolderReturns,
    /// The ledger is overwritten with something else, while the process runs or while it is down.
    Wreck {
        while_down: bool,
    },
    /// Somebody removes the ledger under the running process.
    Remove,
    /// A request is on its way when the process is killed; it arrives all the same, this much later.
    KilledInFlight {
        arrives_after_ms: u16,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1u32..2_000).prop_map(|seconds| Event::Pass { seconds }),
        1 => (2_000u32..10_000).prop_map(|seconds| Event::Pass { seconds }),
        2 => (-10_000i32..10_000, any::<bool>()).prop_map(|(seconds, while_down)| Event::StepWall { seconds, while_down }),
        2 => Just(Event::Kill),
        1 => (1u32..5_000, 0u32..20_000).prop_map(|(seconds, behind_seconds)| Event::Reboot { seconds, behind_seconds }),
        1 => (0u32..200_000).prop_map(|boot_offset_seconds| Event::Namespace { boot_offset_seconds }),
        6 => (1u8..40, 0u16..10_000, 0u8..3).prop_map(|(wanted, latency_ms, purpose)| Event::Burst { wanted, latency_ms, purpose }),
        2 => (1u8..40, 0u16..2_000).prop_map(|(wanted, latency_ms)| Event::Beside { wanted, latency_ms }),
        1 => Just(Event::FolderGoes),
        2 => Just(Event::FolderReturns),
        1 => any::<bool>().prop_map(|while_down| Event::Wreck { while_down }),
        1 => Just(Event::Remove),
        2 => (0u16..30_000).prop_map(|arrives_after_ms| Event::KilledInFlight { arrives_after_ms }),
    ]
}

/// The machine's clocks, in true milliseconds since the beginning.
#[derive(Clone, Debug)]
struct Machine {
    true_ms: u64,
    booted_at_ms: u64,
    boots: u32,
    namespace_ms: u64,
    wall_offset_ms: i64,
}

#[derive(Debug)]
struct MachineClock {
    machine: Mutex<Machine>,
    boot_id: String,
}

impl Clock for MachineClock {
    fn now(&self) -> Moment {
        let machine = self.machine.lock().unwrap();
        Moment {
            boot: Duration::from_millis(
                machine.true_ms - machine.booted_at_ms + machine.namespace_ms,
            ),
            wall: Duration::from_millis(
                (machine.true_ms as i64 + machine.wall_offset_ms).max(0) as u64
            ),
        }
    }

    fn boot_id(&self) -> &str {
        &self.boot_id
    }
}

/// A process, its machine, and the far side.
struct World {
    home: tempfile::TempDir,
    /// Whether the state folder is out of reach, and whether a clock has changed in that time.
    is_away: bool,
    has_changed: bool,
    clock: MachineClock,
    ledger: Option<Ledger>,
    allowance: Allowance,
    /// True times at which requests arrived.
    arrivals_ms: Vec<u64>,
    names: u32,
}

impl World {
    fn new(allowance: Allowance) -> Self {
        let machine = Machine {
            true_ms: 0,
            booted_at_ms: 0,
            boots: 1,
            namespace_ms: 0,
            wall_offset_ms: 1_795_341_600_000,
        };
        let mut world = Self {
            // In memory where there is such a place: processes are killed here, power is not cut, so no disk has to be waited for.
            home: tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .unwrap(),
            clock: MachineClock {
                machine: Mutex::new(machine),
                boot_id: "boot 1".to_owned(),
            },
            is_away: false,
            has_changed: false,
            ledger: None,
            allowance,
            arrivals_ms: Vec::new(),
            names: 0,
        };
        world.start();
        world
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("state/budget.sqlite3")
    }

    fn start(&mut self) {
        self.ledger = None;
        self.ledger = Some(Ledger::keep(&self.path(), &self.clock).unwrap());
    }

    /// Moves the state folder away, and puts a file in its place, or the other way round.
    fn move_folder(&mut self, away: bool) {
        if away == self.is_away {
            return;
        }
        self.is_away = away;
        let (state, elsewhere) = (
            self.home.path().join("state"),
            self.home.path().join("away"),
        );
        if away {
            fs::rename(&state, &elsewhere).unwrap();
            fs::write(&state, "no folder").unwrap();
        } else {
            fs::remove_file(&state).unwrap();
            fs::rename(&elsewhere, &state).unwrap();
        }
    }

    /// Whether one clock more may change. What happens to clocks while the folder is away is not written down, and two such changes together,
    /// as when the wall is set and then the machine restarted, cannot be found out by anybody.
    fn may_change_clocks(&mut self) -> bool {
        !self.is_away || !std::mem::replace(&mut self.has_changed, true)
    }

    fn wreck(&self) {
        if !self.is_away {
            fs::write(self.path(), "no database at all ".repeat(1_000)).unwrap();
        }
    }

    fn pass_ms(&self, ms: u64) {
        self.clock.machine.lock().unwrap().true_ms += ms;
    }

    fn true_ms(&self) -> u64 {
        self.clock.machine.lock().unwrap().true_ms
    }

    fn payer(&self) -> Payer {
        Payer {
            account: format!("name {}", self.names),
            identity: "origin and token".to_owned(),
        }
    }

    /// Sends through `ledger` until refused; the arrival is somewhere between sending and answer.
    fn burst(&mut self, ledger: &Ledger, wanted: u8, latency_ms: u16, purpose: Purpose) {
        for n in 0..u64::from(wanted) {
            let admission = ledger.admit(&self.payer(), self.allowance, purpose, &self.clock);
            let id = match admission {
                Ok(Admission::Granted { id, .. }) => Some(id),
                Ok(Admission::Unwritten) => None,
                Ok(Admission::Full { .. }) | Err(_) => return,
            };
            let latency_ms = u64::from(latency_ms);
            let arrives_ms = latency_ms * (n % 3) / 2;
            self.arrivals_ms.push(self.true_ms() + arrives_ms);
            self.pass_ms(latency_ms);
            if let Some(id) = id {
                // Where that cannot be written, the entry stays as it was.
                let _ = ledger.answered(id, &self.clock);
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Pass { seconds } => self.pass_ms(u64::from(seconds) * 1000),
            Event::StepWall { .. } | Event::Reboot { .. } | Event::Namespace { .. }
                if !self.may_change_clocks() => {}
            Event::StepWall {
                seconds,
                while_down,
            } => {
                let step = |world: &World| {
                    world.clock.machine.lock().unwrap().wall_offset_ms += i64::from(seconds) * 1000
                };
                if while_down {
                    self.ledger = None;
                    step(self);
                    self.start();
                } else {
                    step(self);
                    // A running daemon looks at its clock within seconds.
                    let ledger = self.ledger.as_ref().unwrap();
                    let _ = ledger.window(&self.payer(), &self.clock);
                }
            }
            Event::Kill => {
                self.names += 1; // It comes back under another name: no new budget.
                self.start();
            }
            Event::Reboot {
                seconds,
                behind_seconds,
            } => {
                self.ledger = None;
                {
                    let mut machine = self.clock.machine.lock().unwrap();
                    machine.true_ms += u64::from(seconds) * 1000;
                    machine.booted_at_ms = machine.true_ms;
                    machine.boots += 1;
                    machine.namespace_ms = 0;
                    machine.wall_offset_ms -= i64::from(behind_seconds) * 1000;
                    self.clock.boot_id = format!("boot {}", machine.boots);
                }
                self.start();
            }
            Event::Namespace {
                boot_offset_seconds,
            } => {
                self.ledger = None;
                self.clock.machine.lock().unwrap().namespace_ms =
                    u64::from(boot_offset_seconds) * 1000;
                self.start();
            }
            Event::Burst {
                wanted,
                latency_ms,
                purpose,
            } => {
                let purpose =
                    [Purpose::ColdStart, Purpose::Poll, Purpose::OnDemand][usize::from(purpose)];
                let ledger = self.ledger.take().unwrap();
                self.burst(&ledger, wanted, latency_ms, purpose);
                self.ledger = Some(ledger);
            }
            Event::Beside { wanted, latency_ms } => {
                if let Ok(second) = Ledger::open(&self.path(), &self.clock) {
                    self.burst(&second, wanted, latency_ms, Purpose::OnDemand);
                }
            }
            Event::FolderGoes => self.move_folder(true),
            Event::FolderReturns => {
                self.move_folder(false);
                self.has_changed = false;
                // A running daemon tries its ledger within seconds.
                let ledger = self.ledger.as_ref().unwrap();
                let _ = ledger.window(&self.payer(), &self.clock);
            }
            Event::Wreck { while_down: false } => self.wreck(),
            Event::Wreck { while_down: true } => {
                self.ledger = None;
                self.wreck();
                self.start();
            }
            Event::Remove => {
                let _ = fs::remove_file(self.path());
                // A running daemon looks at its ledger within seconds; until then it is as if nobody had removed it.
                let ledger = self.ledger.as_ref().unwrap();
                let _ = ledger.window(&self.payer(), &self.clock);
            }
            Event::KilledInFlight { arrives_after_ms } => {
                let ledger = self.ledger.take().unwrap();
                let admission =
                    ledger.admit(&self.payer(), self.allowance, Purpose::Poll, &self.clock);
                if let Ok(Admission::Granted { .. } | Admission::Unwritten) = admission {
                    self.arrivals_ms
                        .push(self.true_ms() + u64::from(arrives_after_ms));
                }
                drop(ledger);
                self.start();
            }
        }
    }

    /// The most arrivals in any sliding hour.
    fn worst_hour(&self) -> usize {
        let mut arrivals = self.arrivals_ms.clone();
        arrivals.sort_unstable();
        let hour_ms = HOUR.as_millis() as u64;
        let in_hour_from =
            |i: usize| arrivals[i..].partition_point(|at| *at < arrivals[i] + hour_ms);
        (0..arrivals.len()).map(in_hour_from).max().unwrap_or(0)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_sliding_hour_ever_holds_more_than_the_limit(
        limit in 1u32..60,
        reserve in 0u32..40,
        events in prop::collection::vec(event(), 1..80),
    ) {
        let mut world = World::new(Allowance { limit, reserve: reserve.min(limit - 1) });
        for event in &events {
            world.apply(event);
        }
        let worst = world.worst_hour();
        prop_assert!(worst <= limit as usize, "{worst} requests in an hour of {limit}");
    }

    /// The other side of the promise: caution never locks a budget up for good.
    #[test]
    fn two_quiet_hours_make_the_whole_limit_free_again(
        limit in 1u32..60,
        reserve in 0u32..40,
        events in prop::collection::vec(event(), 1..40),
    ) {
        let allowance = Allowance { limit, reserve: reserve.min(limit - 1) };
        let mut world = World::new(allowance);
        for event in &events {
            world.apply(event);
        }
        world.move_folder(false);
        world.start();
        world.pass_ms(2 * HOUR.as_millis() as u64);
        let before = world.arrivals_ms.len();
        let ledger = world.ledger.take().unwrap();
        world.burst(&ledger, limit as u8, 0, Purpose::OnDemand);
        prop_assert_eq!(world.arrivals_ms.len() - before, allowance.written() as usize);
    }
}
