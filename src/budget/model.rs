//! The promise, put to the test: a machine whose clocks are stepped, which sleeps, reboots and kills its processes at random, whose disk fails,
//! hangs and comes back, whose state folder is damaged by people while a process runs and while none does, and whose config gives the account
//! new names and new tokens. The far side keeps the true time of each arrival.
//!
//! The code is the real one, file and all; only the clocks are simulated, and the ledger's thread is turned by hand, so that a disk that hangs is a
//! thread that does nothing.
//!
//! Two things cannot be known, and count as a *hole*: what was sent before a loss that the next process found out, and what a process sent whose disk
//! took neither the ledger nor the witness until it was killed. An hour with a hole in it may hold a limit for each side of the hole. Every other
//! hour holds one limit at most.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::prelude::*;

use super::{Budget, BudgetOwner, Ledger, Permit, Purpose, ledger::Keeper, window::HOUR};
use crate::clock::{Clock, Moment};

const HOUR_MS: u64 = HOUR.as_millis() as u64;

/// A request that was under way when its process was killed arrives within this time: the longest time-out there may be is a minute.
const LATEST_ARRIVAL_MS: u64 = 60_000;

/// What people and programs do to the files of a state folder.
#[derive(Clone, Copy, Debug)]
enum Deed {
    RemoveLedger,
    RemoveLog,
    RemoveWitness,
    RemoveAllThree,
    /// A copy of an earlier moment takes the ledger's name.
    RenameOldCopy,
    /// The same, written into the file that is there.
    WriteOldCopy,
    /// Something else is written into the file.
    Wreck,
    /// One bit of the ledger, its log or its witness turns.
    Flip {
        file: u8,
        place: u32,
    },
}

/// What can happen to a machine.
#[derive(Clone, Debug)]
enum Event {
    /// Time passes, asleep or awake: both clocks go on.
    Pass { seconds: u32 },
    /// The wall clock is set, while the process runs or while it is down.
    StepWall { seconds: i32, while_down: bool },
    /// The process is killed in the middle of what it does, and starts again, perhaps with another name or token.
    Kill { renamed: u8 },
    /// The process ends well and starts again.
    Restart { renamed: u8 },
    /// The config is read again, with another name or token.
    Reload { renamed: u8 },
    /// The machine is off for a while; boot time starts again, and the wall clock may have fallen behind. (One that is ahead
    /// after a reboot cannot be found out by anybody.)
    Reboot { seconds: u32, behind_seconds: u32 },
    /// The process is started again in a time namespace, where boot time is another.
    Namespace { boot_offset_seconds: u32 },
    /// Requests are sent as fast as the budget allows; each answer takes this long.
    Burst {
        wanted: u8,
        latency_ms: u16,
        purpose: u8,
    },
    /// A request is on its way when the process is killed; it arrives all the same, this much later.
    KilledInFlight { arrives_after_ms: u16 },
    /// The state folder can no longer be used: a disk that is read-only, failing or unmounted.
    FolderGoes,
    /// The ledger cannot be written and the witness can: a file that is locked, or a disk that is full.
    LedgerBlocked,
    /// Whoever writes waits for the disk.
    DiskHangs,
    /// All is well again.
    DiskReturns,
    /// A copy of the ledger is made, as a backup does it.
    Backup,
    /// While the process runs, or between its killing and the next start.
    Deed { deed: Deed, while_down: bool },
    /// The whole folder is removed under a process that runs.
    RemoveFolder,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        1 => Just(Deed::RemoveLedger),
        1 => Just(Deed::RemoveLog),
        1 => Just(Deed::RemoveWitness),
        1 => Just(Deed::RemoveAllThree),
        1 => Just(Deed::RenameOldCopy),
        1 => Just(Deed::WriteOldCopy),
        1 => Just(Deed::Wreck),
        3 => (0u8..3, any::<u32>()).prop_map(|(file, place)| Deed::Flip { file, place }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1u32..2_000).prop_map(|seconds| Event::Pass { seconds }),
        1 => (2_000u32..10_000).prop_map(|seconds| Event::Pass { seconds }),
        2 => (-10_000i32..10_000, any::<bool>()).prop_map(|(seconds, while_down)| Event::StepWall { seconds, while_down }),
        2 => (0u8..3).prop_map(|renamed| Event::Kill { renamed }),
        1 => (0u8..3).prop_map(|renamed| Event::Restart { renamed }),
        1 => (0u8..3).prop_map(|renamed| Event::Reload { renamed }),
        1 => (1u32..5_000, 0u32..20_000).prop_map(|(seconds, behind_seconds)| Event::Reboot { seconds, behind_seconds }),
        1 => (0u32..200_000).prop_map(|boot_offset_seconds| Event::Namespace { boot_offset_seconds }),
        8 => (1u8..40, 0u16..10_000, 0u8..3).prop_map(|(wanted, latency_ms, purpose)| Event::Burst { wanted, latency_ms, purpose }),
        2 => (0u16..30_000).prop_map(|arrives_after_ms| Event::KilledInFlight { arrives_after_ms }),
        1 => Just(Event::FolderGoes),
        1 => Just(Event::LedgerBlocked),
        1 => Just(Event::DiskHangs),
        4 => Just(Event::DiskReturns),
        2 => Just(Event::Backup),
        4 => (deed(), any::<bool>()).prop_map(|(deed, while_down)| Event::Deed { deed, while_down }),
        1 => Just(Event::RemoveFolder),
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
    machine: Arc<Mutex<Machine>>,
    boot_id: String,
}

impl Clock for MachineClock {
    fn now(&self) -> Moment {
        let machine = self.machine.lock().unwrap();
        let boot_ms = machine.true_ms - machine.booted_at_ms + machine.namespace_ms;
        let wall_ms = (machine.true_ms as i64 + machine.wall_offset_ms).max(0) as u64;
        Moment {
            boot: Duration::from_millis(boot_ms),
            wall: Duration::from_millis(wall_ms),
        }
    }

    fn boot_id(&self) -> &str {
        &self.boot_id
    }
}

#[derive(Debug)]
struct Process {
    budget: Budget,
    ledger: Arc<Ledger>,
    keeper: Keeper,
    clock: Arc<MachineClock>,
}

impl Process {
    fn look(&self) {
        self.ledger.with(self.clock.as_ref(), |_| ());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Well,
    /// The folder is out of reach: neither ledger nor witness can be written.
    Away,
    /// The ledger alone cannot be written.
    Blocked,
    /// Nothing is written, and nobody is told.
    Hanging,
}

/// A process, its machine, its disk, and the far side.
struct World {
    home: tempfile::TempDir,
    machine: Arc<Mutex<Machine>>,
    process: Option<Process>,
    limit: u32,
    reserve: u32,
    /// The account's name and its token, as numbers. Only one of them changes at a time.
    owner: (u32, u32),
    disk: Disk,
    /// Whether a clock was changed that no file was told of.
    has_changed: bool,
    /// Requests were admitted that neither the ledger nor the witness knows of.
    is_blind: bool,
    /// Something was done to the files that may be a loss.
    is_suspect: bool,
    backup: Option<Vec<u8>>,
    /// True times at which requests arrived.
    arrivals_ms: Vec<u64>,
    /// True times before which not everything is known.
    holes_ms: Vec<u64>,
}

impl World {
    fn new(limit: u32, reserve: u32) -> Self {
        let machine = Machine {
            true_ms: 0,
            booted_at_ms: 0,
            boots: 1,
            namespace_ms: 0,
            wall_offset_ms: 1_795_341_600_000,
        };
        // In memory where there is such a place: processes are killed here, power is not cut, so no disk has to be waited for.
        let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let mut world = Self {
            home: home.unwrap(),
            machine: Arc::new(Mutex::new(machine)),
            process: None,
            limit,
            reserve: reserve.min(limit - 1),
            owner: (0, 0),
            disk: Disk::Well,
            has_changed: false,
            is_blind: false,
            is_suspect: false,
            backup: None,
            arrivals_ms: Vec::new(),
            holes_ms: Vec::new(),
        };
        world.start();
        world
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The ledger, or what lies beside it.
    fn file(&self, suffix: &str) -> PathBuf {
        self.folder().join(format!("budget.sqlite3{suffix}"))
    }

    fn true_ms(&self) -> u64 {
        self.machine.lock().unwrap().true_ms
    }

    fn pass_ms(&self, ms: u64) {
        self.machine.lock().unwrap().true_ms += ms;
    }

    fn rename(&mut self, what: u8) {
        match what {
            0 => {}
            1 => self.owner.0 += 1,
            _ => self.owner.1 += 1,
        }
    }

    fn budget(&self, ledger: &Arc<Ledger>, clock: &Arc<MachineClock>) -> Budget {
        let owner = BudgetOwner {
            account: format!("name {}", self.owner.0),
            identity: format!("token {}", self.owner.1),
        };
        let limit = NonZeroU32::new(self.limit).unwrap();
        Budget::new(
            Arc::clone(ledger),
            owner,
            limit,
            self.reserve,
            Arc::clone(clock) as Arc<dyn Clock>,
        )
    }

    fn start(&mut self) {
        assert!(self.process.is_none());
        let boot_id = format!("boot {}", self.machine.lock().unwrap().boots);
        let clock = Arc::new(MachineClock {
            machine: Arc::clone(&self.machine),
            boot_id,
        });
        let by = Arc::clone(&clock) as Arc<dyn Clock>;
        let (ledger, keeper, is_lost) = Ledger::by_hand(&self.file(""), by).unwrap();
        let may_be_lost = self.is_suspect || self.disk != Disk::Well;
        assert!(may_be_lost || !is_lost, "a loss where nothing was lost");
        if is_lost || self.is_blind {
            self.holes_ms.push(self.true_ms());
        }
        (self.is_blind, self.is_suspect) = (false, false);
        let budget = self.budget(&ledger, &clock);
        self.process = Some(Process {
            budget,
            ledger,
            keeper,
            clock,
        });
        self.write();
    }

    /// What the ledger's thread does where it is woken.
    fn write(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        match self.disk {
            Disk::Hanging => self.is_blind = true,
            Disk::Away => {
                process.keeper.write();
                self.is_blind = true;
            }
            Disk::Blocked => {
                process.keeper.write();
                self.is_suspect = true;
            }
            Disk::Well => {
                process.keeper.write();
                let condition = process.ledger.condition();
                if condition.is_degraded() {
                    // A file that was wrecked is seen with one try, and put right with the next.
                    process.keeper.write();
                }
                assert!(!condition.is_degraded(), "the disk is well");
                (self.is_blind, self.has_changed) = (false, false);
                // As the daemon's store has it: the folder has had a life.
                fs::write(self.folder().join("state.sqlite3"), "").unwrap();
            }
        }
    }

    fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path());
        files
            .filter(|path| path.is_file() && !path.to_string_lossy().ends_with("-shm"))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }

    /// Nothing closes the ledger, so its log stays as it is.
    fn kill(&mut self) {
        let files = self.contents();
        self.process = None;
        for (path, content) in files {
            fs::write(path, content).unwrap();
        }
    }

    /// Whether one clock more may change. What happens to clocks while nothing can be written is not known to the next process, and two such changes
    /// together, as when the wall is set and then the machine restarted, cannot be found out by anybody.
    fn may_change_clocks(&mut self) -> bool {
        self.disk == Disk::Well || !std::mem::replace(&mut self.has_changed, true)
    }

    fn set_disk(&mut self, disk: Disk) {
        let (folder, elsewhere) = (self.folder(), self.home.path().join("away"));
        let (ledger, aside) = (self.file(""), self.home.path().join("blocked"));
        match self.disk {
            Disk::Away => {
                fs::remove_file(&folder).unwrap();
                fs::rename(&elsewhere, &folder).unwrap();
            }
            Disk::Blocked => {
                fs::remove_dir(&ledger).unwrap();
                let _ = fs::rename(&aside, &ledger);
            }
            Disk::Well | Disk::Hanging => {}
        }
        self.disk = disk;
        match disk {
            Disk::Away => {
                fs::rename(&folder, &elsewhere).unwrap();
                fs::write(&folder, "no folder").unwrap();
            }
            Disk::Blocked => {
                let _ = fs::rename(&ledger, &aside);
                fs::create_dir(&ledger).unwrap();
            }
            Disk::Well | Disk::Hanging => {}
        }
        self.write();
    }

    /// Does something to the files; only where they can be reached.
    fn mischief(&mut self, deed: Deed) {
        if self.disk != Disk::Well {
            return;
        }
        let remove = |path: &Path| drop(fs::remove_file(path));
        let ledger = self.file("");
        match deed {
            Deed::RemoveLedger => remove(&ledger),
            Deed::RemoveLog => remove(&self.file("-wal")),
            Deed::RemoveWitness => remove(&self.file("-witness")),
            Deed::RemoveAllThree => ["", "-wal", "-witness"]
                .iter()
                .for_each(|suffix| remove(&self.file(suffix))),
            Deed::RenameOldCopy => {
                if let Some(backup) = &self.backup {
                    let copy = self.home.path().join("copy");
                    fs::write(&copy, backup).unwrap();
                    fs::rename(copy, ledger).unwrap();
                }
            }
            Deed::WriteOldCopy => {
                if let Some(backup) = &self.backup {
                    fs::write(ledger, backup).unwrap();
                }
            }
            Deed::Wreck => fs::write(ledger, "no database at all ".repeat(1_000)).unwrap(),
            Deed::Flip { file, place } => {
                let path = self.file(["", "-wal", "-witness"][usize::from(file)]);
                let Ok(mut bytes) = fs::read(&path) else {
                    return;
                };
                if let Some(at) = (place as usize).checked_rem(bytes.len()) {
                    bytes[at] ^= 1 << (place % 8);
                    fs::write(path, bytes).unwrap();
                }
            }
        }
    }

    /// Sends until refused; the arrival is somewhere between sending and answer.
    fn burst(&mut self, wanted: u8, latency_ms: u16, purpose: Purpose) -> u32 {
        let latency_ms = u64::from(latency_ms);
        for n in 0..u64::from(wanted) {
            let Some(permit) = self.admit(purpose) else {
                return n as u32;
            };
            self.arrivals_ms
                .push(self.true_ms() + latency_ms * (n % 3) / 2);
            self.pass_ms(latency_ms);
            permit.answered();
        }
        u32::from(wanted)
    }

    /// A permit, and what it costs on the disk.
    fn admit(&mut self, purpose: Purpose) -> Option<Permit> {
        let permit = self.process.as_ref()?.budget.admit(purpose).ok()?;
        self.write();
        Some(permit)
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
                if while_down {
                    self.kill();
                }
                self.machine.lock().unwrap().wall_offset_ms += i64::from(seconds) * 1000;
            }
            Event::Kill { renamed } => {
                self.kill();
                self.rename(renamed);
            }
            Event::Restart { renamed } => {
                self.write();
                self.process = None;
                self.rename(renamed);
            }
            Event::Reload { renamed } => {
                self.rename(renamed);
                let process = self.process.take().unwrap();
                let budget = self.budget(&process.ledger, &process.clock);
                // The new one is there before the old one goes, as in the daemon.
                self.process = Some(Process { budget, ..process });
                self.write();
            }
            Event::Reboot {
                seconds,
                behind_seconds,
            } => {
                self.kill();
                let mut machine = self.machine.lock().unwrap();
                machine.true_ms += u64::from(seconds) * 1000;
                machine.booted_at_ms = machine.true_ms;
                machine.boots += 1;
                machine.namespace_ms = 0;
                machine.wall_offset_ms -= i64::from(behind_seconds) * 1000;
            }
            Event::Namespace {
                boot_offset_seconds,
            } => {
                self.kill();
                self.machine.lock().unwrap().namespace_ms = u64::from(boot_offset_seconds) * 1000;
            }
            Event::Burst {
                wanted,
                latency_ms,
                purpose,
            } => {
                let purposes = [Purpose::ColdStart, Purpose::Poll, Purpose::OnDemand];
                self.burst(wanted, latency_ms, purposes[usize::from(purpose)]);
            }
            Event::KilledInFlight { arrives_after_ms } => {
                if let Some(permit) = self.admit(Purpose::OnDemand) {
                    let arrives_ms = self.true_ms() + u64::from(arrives_after_ms);
                    self.arrivals_ms.push(arrives_ms);
                    self.kill();
                    drop(permit);
                }
            }
            Event::FolderGoes => self.set_disk(Disk::Away),
            Event::LedgerBlocked => self.set_disk(Disk::Blocked),
            Event::DiskHangs => self.set_disk(Disk::Hanging),
            Event::DiskReturns => self.set_disk(Disk::Well),
            Event::Backup => self.backup = fs::read(self.file("")).ok(),
            Event::Deed {
                deed,
                while_down: true,
            } => {
                self.kill();
                self.mischief(deed);
                self.is_suspect = true;
            }
            Event::Deed {
                deed,
                while_down: false,
            } => {
                self.mischief(deed);
                // What is written *into* the file that is open may harm it, and is found out at the next start. A file that was removed or
                // replaced is seen, and written again whole.
                self.is_suspect |=
                    matches!(deed, Deed::WriteOldCopy | Deed::Wreck | Deed::Flip { .. });
                self.write();
            }
            Event::RemoveFolder => {
                if self.disk == Disk::Well {
                    fs::remove_dir_all(self.folder()).unwrap();
                    self.write();
                }
            }
        }
        match &self.process {
            // A running daemon looks at its clock within seconds.
            Some(process) => process.look(),
            None => self.start(),
        }
        self.write();
    }

    /// The first hour that has more arrivals than it may have.
    fn worst_hour(&self) -> Option<String> {
        let mut arrivals = self.arrivals_ms.clone();
        arrivals.sort_unstable();
        arrivals.iter().enumerate().find_map(|(i, &from)| {
            let sent = arrivals[i..].partition_point(|at| *at < from + HOUR_MS);
            let holes = self.holes_ms.iter();
            let holes =
                holes.filter(|hole| **hole + LATEST_ARRIVAL_MS > from && **hole < from + HOUR_MS);
            let allowed = self.limit as usize * (1 + holes.count());
            (sent > allowed)
                .then(|| format!("{sent} requests in the hour from {from} ms, of {allowed}"))
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn no_sliding_hour_ever_holds_more_than_the_limit(
        limit in 1u32..60,
        reserve in 0u32..40,
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut world = World::new(limit, reserve);
        for event in &events {
            world.apply(event);
        }
        prop_assert_eq!(world.worst_hour(), None);
    }

    /// The other side of the promise: caution never locks a budget up for good.
    #[test]
    fn two_quiet_hours_make_the_whole_limit_free_again(
        limit in 1u32..60,
        reserve in 0u32..40,
        events in prop::collection::vec(event(), 1..30),
    ) {
        let mut world = World::new(limit, reserve);
        for event in &events {
            world.apply(event);
        }
        world.apply(&Event::DiskReturns);
        world.apply(&Event::Kill { renamed: 0 });
        world.apply(&Event::Pass { seconds: 2 * 3_600 });
        prop_assert_eq!(world.burst(limit as u8, 0, Purpose::OnDemand), limit);
    }
}
