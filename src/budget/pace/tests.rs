use super::*;
use crate::clock::VirtualClock;

/// Takes every permit that the bucket gives in an hour, trying every 100 ms.
async fn greedy_hour(mut take: impl FnMut() -> bool) -> u32 {
    let mut taken = 0;
    for _ in 0..36_000 {
        while take() {
            taken += 1;
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn a_plain_hourly_quota_overspends_but_ours_does_not() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
    let limit = NonZeroU32::new(1000).unwrap();

    let plain =
        RateLimiter::direct_with_clock(Quota::per_hour(limit), BootTime(Arc::clone(&clock)));
    assert_eq!(greedy_hour(|| plain.check().is_ok()).await, 1999);

    let capacity = NonZeroU32::new(40).unwrap();
    let pace = Pace::new(clock, capacity, 1000.0 / 3600.0);
    assert_eq!(greedy_hour(|| pace.take().is_ok()).await, 999);
}

#[tokio::test(start_paused = true)]
async fn a_large_window_is_read_once_a_second_and_a_small_one_for_each_request() {
    let pace = Pace::new(
        Arc::new(VirtualClock::default()),
        NonZeroU32::new(800).unwrap(),
        5.5,
    );
    // Ten minutes at 20,000 an hour.
    let times = (0..3_333).map(|n| Duration::from_millis(180 * n));
    let fits = times.filter(|now| pace.should_fit(*now, 20_000));
    assert!((500..=600).contains(&fits.count()));
    let times = (0..100).map(Duration::from_millis);
    let fits = times.filter(|now| pace.should_fit(*now, 1_000));
    assert_eq!(fits.count(), 100);
}

#[tokio::test(start_paused = true)]
async fn an_idle_bucket_saves_up_to_its_capacity() {
    let pace = Pace::new(
        Arc::new(VirtualClock::default()),
        NonZeroU32::new(3).unwrap(),
        1.0,
    );
    tokio::time::advance(Duration::from_secs(60)).await;
    let taken = std::iter::from_fn(|| pace.take().ok()).take(10).count();
    assert_eq!(taken, 3);
    assert_eq!(pace.take(), Err(Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn fitting_keeps_what_is_in_hand_and_changes_the_rate() {
    let pace = Pace::new(
        Arc::new(VirtualClock::default()),
        NonZeroU32::new(3).unwrap(),
        1.0,
    );
    tokio::time::advance(Duration::from_secs(60)).await;
    pace.take().unwrap();
    pace.fit(|in_hand| if in_hand == 2 { 0.1 } else { 0.2 });
    assert_eq!(
        pace.period(),
        Duration::from_secs(5),
        "saved permits are used up"
    );
    pace.take().unwrap();
    pace.take().unwrap();
    assert_eq!(pace.take(), Err(Duration::from_secs(10)));
}
