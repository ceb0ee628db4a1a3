//! A simulated machine with clocks, a disk and a process that keeps a budget, and a CallTools that records arrivals in true time.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use super::events::{Damage, Event};
use crate::budget::{Budget, BudgetOwner, Ledger, Permit, Purpose, ledger::Keeper, window::HOUR};
use crate::clock::{Clock, Moment};

const HOUR_MS: u64 = HOUR.as_millis() as u64;

const OTHERS_TOKEN: &str = "the other account's token";

/// A request whose process was killed arrives within this time: the longest timeout that the config allows is a minute.
const LATEST_ARRIVAL_MS: u64 = 60_000;

/// The machine's clocks, in true milliseconds since the start of the test.
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
    /// The budget of another account of the config, with another account at CallTools.
    other: Budget,
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
    /// The folder is unreachable: neither ledger nor witness can be written.
    Away,
    /// The ledger alone cannot be written.
    Blocked,
    /// Nothing is written, and no error is returned.
    Hanging,
}

/// A process, its machine, its disk and CallTools.
pub(super) struct World {
    home: tempfile::TempDir,
    machine: Arc<Mutex<Machine>>,
    process: Option<Process>,
    limit: u32,
    reserve: u32,
    /// The account's name and its token, as numbers. Only one of them changes at a time.
    owner: (u32, u32),
    /// Whether the account has the token of the other account instead.
    borrows: bool,
    disk: Disk,
    /// Whether a clock was changed since the files were last written.
    has_changed: bool,
    /// Whether requests were admitted that neither the ledger nor the witness knows.
    is_blind: bool,
    /// Whether the files were damaged in a way that may be a loss.
    is_suspect: bool,
    backup: Option<Vec<u8>>,
    /// The true times at which requests arrived, with the account's own tokens, and with that of the other account.
    arrivals_ms: [Vec<u64>; 2],
    /// The true times before which not everything is known.
    holes_ms: Vec<u64>,
}

impl World {
    pub(super) fn new(limit: u32, reserve: u32) -> Self {
        let machine = Machine {
            true_ms: 0,
            booted_at_ms: 0,
            boots: 1,
            namespace_ms: 0,
            wall_offset_ms: 1_795_341_600_000,
        };
        // In memory if possible: processes are killed here but power never fails, so there is no need to wait for a disk.
        let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let mut world = Self {
            home: home.unwrap(),
            machine: Arc::new(Mutex::new(machine)),
            process: None,
            limit,
            reserve: reserve.min(limit - 1),
            owner: (0, 0),
            borrows: false,
            disk: Disk::Well,
            has_changed: false,
            is_blind: false,
            is_suspect: false,
            backup: None,
            arrivals_ms: Default::default(),
            holes_ms: Vec::new(),
        };
        world.start();
        world
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// Returns the path of the ledger, or of a file beside it.
    fn file(&self, suffix: &str) -> PathBuf {
        self.folder().join(format!("budget.sqlite3{suffix}"))
    }

    fn true_ms(&self) -> u64 {
        self.machine.lock().unwrap().true_ms
    }

    fn pass_ms(&self, ms: u64) {
        self.machine.lock().unwrap().true_ms += ms;
    }

    fn rename(&mut self, part: u8) {
        match part {
            0 => {}
            1 => self.owner.0 += 1,
            2 => self.new_token(false),
            _ => self.new_token(true),
        }
    }

    fn new_token(&mut self, borrows: bool) {
        self.owner.1 += u32::from(!borrows);
        self.borrows = borrows;
    }

    fn identity(&self) -> String {
        match self.borrows {
            true => OTHERS_TOKEN.to_owned(),
            false => format!("token {}", self.owner.1),
        }
    }

    fn budget(&self, ledger: &Arc<Ledger>, clock: &Arc<MachineClock>) -> Budget {
        let name = format!("name {}", self.owner.0);
        self.budget_of(name, self.identity(), ledger, clock)
    }

    fn budget_of(
        &self,
        account: String,
        identity: String,
        ledger: &Arc<Ledger>,
        clock: &Arc<MachineClock>,
    ) -> Budget {
        let owner = BudgetOwner { account, identity };
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
        let its_clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let (ledger, keeper, is_lost) = Ledger::without_thread(&self.file(""), its_clock).unwrap();
        let may_be_lost = self.is_suspect || self.disk != Disk::Well;
        assert!(may_be_lost || !is_lost, "a loss where nothing was lost");
        if is_lost || self.is_blind {
            self.holes_ms.push(self.true_ms());
        }
        (self.is_blind, self.is_suspect) = (false, false);
        let budget = self.budget(&ledger, &clock);
        let (name, token) = ("other".to_owned(), OTHERS_TOKEN.to_owned());
        let other = self.budget_of(name, token, &ledger, &clock);
        self.process = Some(Process {
            budget,
            other,
            ledger,
            keeper,
            clock,
        });
        self.write();
    }

    /// Does what the ledger's thread would do when it wakes.
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
                    // The first write notices a damaged file, and the second repairs it.
                    process.keeper.write();
                }
                assert!(!condition.is_degraded(), "the disk is well");
                (self.is_blind, self.has_changed) = (false, false);
                // The daemon's store has this file, which shows that the folder was in use.
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

    /// Kills the process: nothing closes the ledger, so its log stays as it is.
    fn kill(&mut self) {
        let files = self.contents();
        self.process = None;
        for (path, content) in files {
            fs::write(path, content).unwrap();
        }
    }

    /// Returns whether another clock may change. The next process cannot know what happened to clocks while nothing could be written, and two such
    /// changes together, such as a wall clock step and then a reboot, are impossible to notice.
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

    /// Damages the files, if they are reachable.
    fn damage(&mut self, damage: Damage) {
        if self.disk != Disk::Well {
            return;
        }
        let remove = |path: &Path| drop(fs::remove_file(path));
        let ledger = self.file("");
        match damage {
            Damage::RemoveLedger => remove(&ledger),
            Damage::RemoveLog => remove(&self.file("-wal")),
            Damage::RemoveWitness => remove(&self.file("-witness")),
            Damage::RemoveAllThree => ["", "-wal", "-witness"]
                .iter()
                .for_each(|suffix| remove(&self.file(suffix))),
            Damage::RenameOldCopy => {
                if let Some(backup) = &self.backup {
                    let copy = self.home.path().join("copy");
                    fs::write(&copy, backup).unwrap();
                    fs::rename(copy, ledger).unwrap();
                }
            }
            Damage::WriteOldCopy => {
                if let Some(backup) = &self.backup {
                    fs::write(ledger, backup).unwrap();
                }
            }
            Damage::Overwrite => fs::write(ledger, "no database at all ".repeat(1_000)).unwrap(),
            Damage::Flip { file, place } => {
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

    /// Sends up to `wanted` requests until one is refused. Each arrives between its sending and its answer. Returns how many were sent.
    pub(super) fn burst(&mut self, wanted: u8, latency_ms: u16, purpose: Purpose) -> u32 {
        let latency_ms = u64::from(latency_ms);
        for n in 0..u64::from(wanted) {
            let Some(permit) = self.admit(purpose) else {
                return n as u32;
            };
            let permit = self.confirm(permit).expect("nothing has changed since");
            self.arrives_after(latency_ms * (n % 3) / 2);
            self.pass_ms(latency_ms);
            permit.answered();
        }
        u32::from(wanted)
    }

    /// Sends up to `wanted` requests of the other account.
    fn others_burst(&mut self, wanted: u8) {
        for _ in 0..wanted {
            let other = &self.process.as_ref().unwrap().other;
            let Ok(permit) = other.spend(Purpose::OnDemand) else {
                return;
            };
            self.write();
            self.arrivals_ms[1].push(self.true_ms());
            permit.answered();
        }
    }

    /// Returns a permit, after the ledger was written.
    fn admit(&mut self, purpose: Purpose) -> Option<Permit> {
        let permit = self.process.as_ref()?.budget.spend(purpose).ok()?;
        self.write();
        Some(permit)
    }

    /// Returns the permit if its request may be sent with the token of this moment.
    fn confirm(&self, permit: Permit) -> Option<Permit> {
        self.process.as_ref()?.budget.confirm(permit).ok()
    }

    /// A request with the token of this moment arrives so much later.
    fn arrives_after(&mut self, ms: u64) {
        let at = self.true_ms() + ms;
        self.arrivals_ms[usize::from(self.borrows)].push(at);
    }

    /// The new budget is created before the old one is dropped, as in the daemon.
    fn reload(&mut self) {
        let process = self.process.take().unwrap();
        let budget = self.budget(&process.ledger, &process.clock);
        self.process = Some(Process { budget, ..process });
        self.write();
    }

    /// Does this while a request is being stored, which is then sent if it still may be.
    fn apply_meanwhile(&mut self, event: &Event) {
        let permit = self.admit(Purpose::OnDemand);
        self.apply(event);
        if let Some(permit) = permit.and_then(|permit| self.confirm(permit)) {
            self.arrives_after(0);
            permit.answered();
        }
    }

    pub(super) fn apply(&mut self, event: &Event) {
        self.happens(event);
        match &self.process {
            // A running daemon looks at its clock within seconds.
            Some(process) => process.look(),
            None => self.start(),
        }
        self.write();
    }

    fn happens(&mut self, event: &Event) {
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
                self.reload();
            }
            Event::NewToken { borrows } => {
                self.new_token(borrows);
                let identity = self.identity();
                self.process.as_ref().unwrap().budget.goes_on_as(identity);
            }
            Event::OthersBurst { wanted } => self.others_burst(wanted),
            Event::StoredMeanwhile { ref event } => self.apply_meanwhile(event),
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
                let purposes = [Purpose::Unpaced, Purpose::Poll, Purpose::OnDemand];
                self.burst(wanted, latency_ms, purposes[usize::from(purpose)]);
            }
            Event::KilledInFlight { arrives_after_ms } => {
                if let Some(permit) = self.admit(Purpose::OnDemand) {
                    self.arrives_after(u64::from(arrives_after_ms));
                    self.kill();
                    drop(permit);
                }
            }
            Event::FolderGoes => self.set_disk(Disk::Away),
            Event::LedgerBlocked => self.set_disk(Disk::Blocked),
            Event::DiskHangs => self.set_disk(Disk::Hanging),
            Event::DiskReturns => self.set_disk(Disk::Well),
            Event::Backup => self.backup = fs::read(self.file("")).ok(),
            Event::Damage {
                damage,
                while_down: true,
            } => {
                self.kill();
                self.damage(damage);
                self.is_suspect = true;
            }
            Event::Damage {
                damage,
                while_down: false,
            } => {
                self.damage(damage);
                // Writing *into* the open file may damage it, which the next start notices. A removed or replaced file is noticed at once, and
                // written again completely.
                self.is_suspect |= matches!(
                    damage,
                    Damage::WriteOldCopy | Damage::Overwrite | Damage::Flip { .. }
                );
                self.write();
            }
            Event::RemoveFolder => {
                if self.disk == Disk::Well {
                    fs::remove_dir_all(self.folder()).unwrap();
                    self.write();
                }
            }
        }
    }

    /// Describes the first hour with more arrivals than allowed.
    pub(super) fn worst_hour(&self) -> Option<String> {
        let mut accounts = self.arrivals_ms.iter();
        accounts.find_map(|arrivals| self.worst_hour_of(arrivals.clone()))
    }

    fn worst_hour_of(&self, mut arrivals: Vec<u64>) -> Option<String> {
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
