//! Time that stays right across suspend, reboots and clock changes.
//!
//! Linux has two clocks that matter here. *Boot time* (`CLOCK_BOOTTIME`) never steps and runs while the machine sleeps, but restarts
//! at every boot. *Wall time* (`CLOCK_REALTIME`) survives a reboot, but people and NTP set it. A [`Moment`] is both, read together. Callers
//! that compare two moments choose the safe error:
//!
//! - ages use the [longer](Moment::longest_since) reading, so stale data never looks fresh;
//! - the budget uses the [shorter](Moment::shortest_since) reading, so no request leaves the window too early;
//! - what has to last for a while uses [boot time](Moment::boot_since) alone, so a wall clock that is set neither delays nor hastens it.
//!
//! `std::time::Instant` serves neither: it stops while a machine sleeps. Timers (`tokio::time`) only decide when to look again.

pub mod stored_time;

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use tokio::runtime::Handle;

/// Boot time starts here instead of at zero, so that moments before a reboot have a place on this clock, too. Two days are enough: no answer
/// uses data older than a day.
pub const BEFORE_BOOT: Duration = Duration::from_secs(2 * 86_400);

/// One point in time on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Time since [`BEFORE_BOOT`] before the machine booted, sleep included.
    pub boot: Duration,
    /// Time since 1970-01-01 00:00:00 UTC.
    pub wall: Duration,
}

impl Moment {
    /// Returns the most time that can have passed since `earlier`: for the age of data.
    pub fn longest_since(self, earlier: Moment) -> Duration {
        let boot = self.boot_since(earlier);
        let wall = self.wall.saturating_sub(earlier.wall);
        boot.max(wall)
    }

    /// Returns the least time that can have passed since `earlier`: for requests that leave the budget's window.
    pub fn shortest_since(self, earlier: Moment) -> Duration {
        let boot = self.boot_since(earlier);
        let wall = self.wall.saturating_sub(earlier.wall);
        boot.min(wall)
    }

    /// Returns the boot time that has passed since `earlier`: for how long something has lasted.
    pub fn boot_since(self, earlier: Moment) -> Duration {
        self.boot.saturating_sub(earlier.boot)
    }

    /// Returns the moment `by` later on both clocks.
    pub fn later(self, by: Duration) -> Moment {
        Moment {
            boot: self.boot + by,
            wall: self.wall + by,
        }
    }

    /// Returns the moment `by` earlier on both clocks; neither goes below its own zero.
    pub fn earlier(self, by: Duration) -> Moment {
        Moment {
            boot: self.boot.saturating_sub(by),
            wall: self.wall.saturating_sub(by),
        }
    }

    /// Returns how long the machine has been up.
    pub fn since_boot(self) -> Duration {
        self.boot.saturating_sub(BEFORE_BOOT)
    }

    /// Returns the wall time in the standard library's form, for HTTP's dates.
    pub fn system_time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.wall
    }

    /// Returns the wall time, for people and for JSON.
    pub fn timestamp(self) -> Timestamp {
        // Only a wall clock beyond the year 9999 is out of range.
        Timestamp::from_millisecond(self.wall.as_millis() as i64).unwrap_or(Timestamp::MAX)
    }

    /// Formats the time as `2026-11-22T10:00:00.123Z`: RFC 3339 in UTC with milliseconds, the only format that openseat writes.
    pub fn rfc3339(self) -> String {
        format!("{:.3}", self.timestamp())
    }
}

/// The source of moments. The daemon uses the system's, tests and simulations their own.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Reads both clocks together.
    fn now(&self) -> Moment;

    /// Reads boot time alone, to measure something short.
    fn boot(&self) -> Duration {
        self.now().boot
    }

    /// Returns the id of this boot of the machine: boot times of different boots cannot be compared.
    fn boot_id(&self) -> &str;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    boot_id: String,
}

impl SystemClock {
    /// Reads the kernel's boot id, or `OPENSEAT_BOOT_ID` (systemd's `%b`) if a hardened service cannot see `/proc/sys`.
    ///
    /// If neither can be read, every start counts as a new boot. That is the safe error: across a restart, the budget then uses only the
    /// wall clock.
    pub fn new() -> Self {
        let from_kernel = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let from_unit = || std::env::var("OPENSEAT_BOOT_ID").ok();
        let unknown = || format!("unknown-{}-{}", std::process::id(), realtime().as_nanos());
        let boot_id = from_kernel()
            .or_else(from_unit)
            .map_or_else(unknown, |id| normal_boot_id(&id));
        Self { boot_id }
    }
}

/// Removes the dashes: the kernel writes them, systemd does not.
fn normal_boot_id(id: &str) -> String {
    id.trim().replace('-', "")
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment {
            boot: BEFORE_BOOT + boottime(),
            wall: realtime(),
        }
    }

    fn boot(&self) -> Duration {
        BEFORE_BOOT + boottime()
    }

    fn boot_id(&self) -> &str {
        &self.boot_id
    }
}

fn boottime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns the time since boot without suspend, to measure how long something took. It is never set, and no test's clock changes it.
pub fn steady() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn realtime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    // A wall clock before 1970 reads as 1970: no compared time is older.
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec as u32)
}

/// A clock that follows Tokio's, so that a paused runtime controls it. Its wall clock can be set, and its machine can sleep.
///
/// For tests, and for benchmarks that simulate hours.
#[derive(Debug)]
pub struct VirtualClock {
    /// Other threads have no runtime, and would read the machine's clock. `None` if it was created without one.
    runtime: Option<Handle>,
    start: tokio::time::Instant,
    boot_id: String,
    boot_offset_ms: AtomicI64,
    wall_offset_ms: AtomicI64,
}

impl VirtualClock {
    /// Creates a clock that shows `wall` now and whose machine booted a day ago.
    pub fn starting_at(wall: Timestamp) -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            runtime: Handle::try_current().ok(),
            start: tokio::time::Instant::now(),
            boot_id: "virtual".to_owned(),
            boot_offset_ms: AtomicI64::new((BEFORE_BOOT + DAY).as_millis() as i64),
            wall_offset_ms: AtomicI64::new(wall.as_millisecond()),
        }
    }

    /// Sets the wall clock forward, or back if negative, as NTP or a person would.
    pub fn step_wall(&self, by_ms: i64) {
        self.wall_offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Suspends the machine: both clocks advance, timers do not.
    pub fn suspend(&self, time: Duration) {
        self.boot_offset_ms
            .fetch_add(time.as_millis() as i64, Ordering::Relaxed);
        self.wall_offset_ms
            .fetch_add(time.as_millis() as i64, Ordering::Relaxed);
    }
}

impl Default for VirtualClock {
    /// Starts on a Sunday morning in November 2026.
    fn default() -> Self {
        Self::starting_at(Timestamp::constant(1_795_341_600, 0))
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Moment {
        let _inside = self.runtime.as_ref().map(Handle::enter);
        let run = self.start.elapsed();
        let offset =
            |ms: &AtomicI64| Duration::from_millis(ms.load(Ordering::Relaxed).max(0) as u64);
        Moment {
            boot: run + offset(&self.boot_offset_ms),
            wall: run + offset(&self.wall_offset_ms),
        }
    }

    fn boot_id(&self) -> &str {
        &self.boot_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn moment(boot_s: u64, wall_s: u64) -> Moment {
        Moment {
            boot: Duration::from_secs(boot_s),
            wall: Duration::from_secs(wall_s),
        }
    }

    #[test]
    fn ages_use_the_longer_reading_and_waits_the_shorter() {
        let (before, after) = (moment(100, 5_000), moment(160, 5_010));
        assert_eq!(after.longest_since(before), Duration::from_secs(60));
        assert_eq!(after.shortest_since(before), Duration::from_secs(10));
    }

    #[test]
    fn a_wall_clock_set_back_makes_no_data_fresher_and_frees_nothing() {
        let (before, after) = (moment(100, 5_000), moment(160, 1_000));
        assert_eq!(after.longest_since(before), Duration::from_secs(60));
        assert_eq!(after.shortest_since(before), Duration::ZERO);
    }

    #[test]
    fn boot_time_reads_the_same_alone_and_with_the_wall_clock() {
        let clock = SystemClock::new();
        let (before, alone, after) = (clock.now().boot, clock.boot(), clock.now().boot);
        assert!((before..=after).contains(&alone), "{alone:?}");
    }

    #[test]
    fn what_lasts_is_measured_alike_however_the_wall_clock_is_set() {
        let before = moment(100, 5_000);
        for after in [moment(160, 1_000), moment(160, 5_060), moment(160, 9_000)] {
            assert_eq!(after.boot_since(before), Duration::from_secs(60));
        }
    }

    #[test]
    fn moments_print_as_rfc_3339_with_milliseconds() {
        let moment = Moment {
            boot: Duration::ZERO,
            wall: Duration::from_millis(1_795_341_600_120),
        };
        assert_eq!(moment.rfc3339(), "2026-11-22T10:00:00.120Z");
    }

    #[test]
    fn the_boot_id_is_the_same_from_the_kernel_and_from_systemd() {
        assert_eq!(normal_boot_id("1f0b-22\n"), normal_boot_id("1f0b22"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_virtual_clock_follows_paused_time() {
        let clock = VirtualClock::default();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(clock.now().shortest_since(before), Duration::from_secs(7));
        clock.step_wall(-3_600_000);
        assert_eq!(clock.now().longest_since(before), Duration::from_secs(7));
        clock.suspend(Duration::from_secs(60));
        assert_eq!(clock.now().longest_since(before), Duration::from_secs(67));
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| clock.now()).join().unwrap());
        assert_eq!(elsewhere, clock.now(), "on a thread without a runtime");
    }
}
