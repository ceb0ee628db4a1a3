use super::*;
use crate::clock::BEFORE_BOOT;

const HOUR_MS: i64 = 3_600_000;

fn stamp(boot_id: &str, boot_ms: i64, wall_ms: i64) -> StoredTime {
    StoredTime {
        boot_id: boot_id.to_owned(),
        boot_ms,
        wall_ms,
    }
}

#[test]
fn setting_a_clock_frees_no_request_early() {
    let sent = stamp("a", 0, 100 * HOUR_MS);
    let forward = stamp("a", 60_000, 102 * HOUR_MS);
    assert_eq!(forward.since(&sent), Duration::from_secs(60));
    let back = stamp("a", 60_000, 99 * HOUR_MS);
    assert_eq!(back.since(&sent), Duration::ZERO);
}

#[test]
fn another_time_namespace_of_the_same_boot_frees_no_request_early() {
    let sent = stamp("a", 0, 100 * HOUR_MS);
    let shifted = stamp("a", 24 * HOUR_MS, 100 * HOUR_MS + 60_000);
    assert_eq!(shifted.since(&sent), Duration::from_secs(60));
}

/// A clock that stands still, on boot "b".
#[derive(Debug)]
struct At(Moment);

impl Clock for At {
    fn now(&self) -> Moment {
        self.0
    }

    fn boot_id(&self) -> &str {
        "b"
    }
}

/// The age of a stored time on a clock that has been up for `up_s` seconds; `None` if it is unknown.
fn age(stamp: &StoredTime, up_s: u64, wall_ms: i64) -> Option<u64> {
    let clock = At(Moment {
        boot: BEFORE_BOOT + Duration::from_secs(up_s),
        wall: Duration::from_millis(wall_ms as u64),
    });
    let recalled = stamp.to_moment(&clock)?;
    Some(clock.now().longest_since(recalled).as_secs())
}

#[test]
fn no_clock_makes_data_look_younger_than_it_is() {
    let up_ms = BEFORE_BOOT.as_millis() as i64;
    let same_boot = stamp("b", up_ms + 100_000, 100 * HOUR_MS);
    assert_eq!(age(&same_boot, 160, 100 * HOUR_MS + 60_000), Some(60));
    assert_eq!(
        age(&same_boot, 160, 99 * HOUR_MS),
        Some(60),
        "the wall was set back"
    );
    assert_eq!(
        age(&same_boot, 160, 101 * HOUR_MS),
        Some(3_600),
        "or forward"
    );
    assert_eq!(
        age(&same_boot, 99, 101 * HOUR_MS),
        None,
        "boot time does not go back"
    );
    let other_boot = stamp("a", up_ms + 9 * HOUR_MS, 100 * HOUR_MS);
    assert_eq!(age(&other_boot, 30, 100 * HOUR_MS + 90_000), Some(90));
    assert_eq!(
        age(&other_boot, 300, 100 * HOUR_MS + 90_000),
        Some(300),
        "the boot came after it"
    );
    assert_eq!(
        age(&other_boot, 30, 100 * HOUR_MS - 1),
        None,
        "a time in the future has no age"
    );
}

#[test]
fn data_from_before_a_boot_keeps_its_order_and_stays_old_when_the_wall_clock_is_set_back() {
    let clock = At(Moment {
        boot: BEFORE_BOOT + Duration::from_secs(30),
        wall: Duration::from_millis(101 * HOUR_MS as u64),
    });
    let recalled = |wall_ms| {
        stamp("a", 0, wall_ms)
            .to_moment(&clock)
            .expect("the time is in the past")
    };
    let (first, second) = (recalled(100 * HOUR_MS), recalled(100 * HOUR_MS + 1));
    assert!(first.boot < second.boot);
    let set_back = Moment {
        wall: Duration::from_millis(90 * HOUR_MS as u64),
        ..clock.now()
    };
    assert_eq!(set_back.longest_since(first), Duration::from_secs(3_600));
}

#[test]
fn across_a_reboot_only_the_wall_clock_counts() {
    let sent = stamp("a", 50 * HOUR_MS, 100 * HOUR_MS);
    let now = stamp("b", 10_000, 100 * HOUR_MS + 90_000);
    assert_eq!(now.since(&sent), Duration::from_secs(90));
}
