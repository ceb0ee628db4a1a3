use proptest::prelude::*;

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn after_a_burst_nothing_is_admitted_until_its_first_request_leaves_the_window() {
    let mut throttle = Throttle::new(30);
    for _ in 0..30 {
        assert_eq!(throttle.admit(s(5)), Ok(()));
    }
    let refused = |wait| Err(Throttled { wait: Some(wait) });
    assert_eq!(throttle.admit(s(5)), refused(s(3600)));
    // Refused requests are not recorded, so retrying changes nothing.
    assert_eq!(throttle.admit(s(3604)), refused(s(1)));
    assert_eq!(throttle.admit(s(3605)), Ok(()));
    assert_eq!(throttle.refused(), 2);
}

#[test]
fn an_overfull_log_gives_no_wait() {
    let mut throttle = Throttle::new(3);
    for second in 0..3 {
        assert_eq!(throttle.admit(s(second)), Ok(()));
    }
    throttle.set_limit(2);
    assert_eq!(throttle.admit(s(3)), Err(Throttled { wait: None }));
}

#[test]
fn a_throttle_of_nothing_admits_nothing() {
    let wait = Some(HOUR);
    assert_eq!(Throttle::new(0).admit(s(1)), Err(Throttled { wait }));
}

#[test]
fn full_hours_start_together() {
    let mut throttle = Throttle::new(2);
    throttle.set_window(Window::FullHour);
    assert_eq!(throttle.admit(s(3590)), Ok(()));
    assert_eq!(throttle.admit(s(3591)), Ok(()));
    let wait = Some(s(8));
    assert_eq!(throttle.admit(s(3592)), Err(Throttled { wait }));
    assert_eq!(throttle.admit(s(3600)), Ok(()));
    assert_eq!(throttle.in_window(s(3600)), 1);
}

#[test]
fn others_spend_from_the_same_account() {
    let mut throttle = Throttle::new(100);
    throttle.set_foreign(s(0), 60); // One a minute.
    assert_eq!(throttle.in_window(s(1800)), 30);
    let admitted = (0..100).filter(|_| throttle.admit(s(1800)).is_ok()).count();
    assert_eq!(admitted, 70);
    throttle.set_foreign(s(1800), 0);
    assert_eq!(throttle.in_window(s(1800 + 3600)), 0);
}

#[test]
fn the_tally_counts_refused_requests_too() {
    let mut arrivals = Arrivals::default();
    for second in [0, 1, 3599, 3600, 3601, 9000] {
        arrivals.add(s(second));
    }
    // (1, 3601] holds 3599, 3600 and 3601; (-1, 3599] holds three as well.
    assert_eq!(arrivals.worst_sliding_hour(), 3);
    assert_eq!(arrivals.total(), 6);
}

proptest! {
    #[test]
    fn no_sliding_hour_admits_more_than_the_limit(
        limit in 1u32..40,
        gaps in prop::collection::vec(0u64..400, 1..300),
    ) {
        let mut throttle = Throttle::new(limit);
        let mut now = Duration::ZERO;
        let mut admitted: Vec<Duration> = Vec::new();
        for gap in gaps {
            now += s(gap);
            let before = admitted.iter().filter(|&&at| at + HOUR > now).count();
            let outcome = throttle.admit(now);
            prop_assert_eq!(outcome.is_ok(), before < limit as usize);
            match outcome {
                Ok(()) => admitted.push(now),
                Err(Throttled { wait }) => {
                    let wait = wait.expect("the limit did not change");
                    prop_assert!(throttle.clone().admit(now + wait).is_ok());
                    prop_assert!(throttle.clone().admit(now + wait - s(1)).is_err());
                }
            }
        }
    }
}
