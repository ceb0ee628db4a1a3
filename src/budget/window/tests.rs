use super::*;

const TEN_KEEP_TWO: Allowance = Allowance {
    limit: 10,
    reserve: 2,
};

const NOW: Time = Duration::from_secs(1_000_000);

fn request(id: u64, polling: bool, answered: bool, leaves_in: Duration) -> Request {
    Request {
        mark: None,
        id,
        owner: OwnerId(1),
        polling,
        answered,
        leaves: NOW + leaves_in,
    }
}

/// Returns a window whose requests leave after 60 s, 120 s and so on, the polls first.
fn window(polls: u64, on_demand: u64) -> Window {
    let mut window = Window::default();
    for i in 0..polls + on_demand {
        let leaves_in = Duration::from_secs(60 * (i + 1));
        window.add(request(i, i < polls, i % 2 == 0, leaves_in));
    }
    window
}

fn wait(window: &Window, purpose: Purpose) -> u64 {
    let room_at = window.room_at(TEN_KEEP_TWO, purpose);
    room_at.map_or(0, |at| (at - NOW).as_secs())
}

#[test]
fn polling_leaves_the_reserve_to_requests_on_demand() {
    for (polls, on_demand, purpose, expected) in [
        (7, 0, Purpose::Poll, 0),
        (8, 0, Purpose::Poll, 60),
        (8, 0, Purpose::Unpaced, 60),
        (8, 0, Purpose::OnDemand, 0),
        (8, 2, Purpose::OnDemand, 60),
        // Requests on demand reduce polling only beyond the reserve.
        (7, 2, Purpose::Poll, 0),
        (7, 3, Purpose::Poll, 60),
        // More than the limit, because it was lowered: with 12 in the window, there is room once 3 have left.
        (0, 12, Purpose::OnDemand, 180),
        (12, 0, Purpose::Poll, 300),
    ] {
        let found = wait(&window(polls, on_demand), purpose);
        assert_eq!(found, expected, "{polls} {on_demand} {purpose:?}");
    }
}

#[test]
fn expired_requests_are_removed_and_an_answer_moves_its_request() {
    let mut window = window(4, 2);
    window.expire(NOW + Duration::from_secs(120));
    assert_eq!((window.used(), window.used_by_polling()), (4, 2));
    // The fourth request is answered only now.
    let leaves = NOW + Duration::from_secs(900);
    let answered = window
        .answered(3, true, leaves)
        .expect("the request is in the window");
    assert!(answered.answered && answered.leaves == leaves);
    assert_eq!(window.answered(3, true, leaves), None, "only once");
    window.expire(NOW + Duration::from_secs(899));
    assert_eq!((window.used(), window.used_by_polling()), (1, 1));
    window.expire(leaves);
    assert_eq!(window.used(), 0);
}

#[test]
fn an_empty_window_allows_the_whole_limit_over_the_hour() {
    let rate = Window::default().even_rate(NOW, TEN_KEEP_TWO, 0);
    assert!((rate * 3600.0 - 8.0).abs() < 1e-9, "{rate}");
}

#[test]
fn a_burst_is_paid_back_over_the_hour() {
    let mut window = Window::default();
    (0..4).for_each(|i| window.add(request(i, true, true, HOUR)));
    let rate = window.even_rate(NOW, TEN_KEEP_TWO, 0);
    // 4 of 8 remain, until the burst leaves at the end of the hour.
    assert!((rate * 3600.0 - 5.0).abs() < 1.01, "{rate}");
}

proptest::proptest! {
    /// Requests sent at the even rate never find the window full, however much was spent before.
    #[test]
    fn the_even_rate_is_never_refused(
        leaves in proptest::collection::vec(1u64..3_600_000, 0..60),
        limit in 1u32..50,
    ) {
        const ROUNDING: f64 = 1e-3;
        let allowance = Allowance { limit, reserve: 0 };
        let mut window = Window::default();
        for (id, ms) in (0..).zip(&leaves) {
            window.add(request(id, true, true, Duration::from_millis(*ms)));
        }
        let rate = window.even_rate(NOW, allowance, 0);
        proptest::prop_assert!(rate > 0.0);
        let mut sent: Vec<f64> = Vec::new();
        for m in 1..200u32 {
            let at = f64::from(m) / rate;
            let old = leaves.iter().filter(|ms| **ms as f64 / 1e3 > at + ROUNDING).count();
            let new = sent.iter().filter(|s| **s + 3600.0 > at + ROUNDING).count();
            proptest::prop_assert!(old + new < limit as usize || leaves.len() > limit as usize,
                "request {m} at {at} s meets {old} + {new} of {limit}");
            sent.push(at);
        }
    }

    /// With polls and requests on demand, answered or not, the window finds the same time as a plain sort.
    #[test]
    fn the_window_has_room_when_a_plain_sort_says_so(
        sent in proptest::collection::vec((1u64..3_000, proptest::bool::ANY, proptest::bool::ANY), 0..60),
        limit in 1u32..50,
    ) {
        let mut window = Window::default();
        let mut sent = sent;
        // Requests under way leave in the order in which they were sent.
        sent.sort_unstable();
        for (id, (seconds, polling, answered)) in (0..).zip(&sent) {
            window.add(request(id, *polling, *answered, Duration::from_secs(*seconds)));
        }
        let all: Vec<u64> = sent.iter().map(|(seconds, ..)| *seconds).collect();
        let expected = all.len().checked_sub(limit as usize).map(|n| all[n]);
        let allowance = Allowance { limit, reserve: 0 };
        let found = window.room_at(allowance, Purpose::OnDemand);
        proptest::prop_assert_eq!(found.map(|at| (at - NOW).as_secs()), expected);
    }
}

/// A burst on demand leaves sixty permits. Polling keeps on at an even pace until the burst leaves the window: no quarter of an hour is dry.
#[test]
fn a_burst_on_demand_leaves_no_dry_hour() {
    const LIMIT: u32 = 1_000;
    const LEFT: u32 = 60;
    let allowance = Allowance {
        limit: LIMIT,
        reserve: 50,
    };
    let mut window = Window::default();
    let burst = u64::from(LIMIT - LEFT);
    (0..burst).for_each(|id| window.add(request(id, false, true, HOUR)));
    let (mut now, mut id, mut sent) = (NOW, burst, Vec::new());
    while now < NOW + HOUR {
        now += Duration::from_secs_f64(1.0 / window.even_rate(now, allowance, 0));
        window.expire(now);
        assert_eq!(window.room_at(allowance, Purpose::Poll), None, "{id}");
        window.add(request(id, true, true, now - NOW + HOUR));
        sent.push((now - NOW).as_secs() / 900);
        id += 1;
    }
    for quarter in 0..4 {
        let polls = sent.iter().filter(|one| **one == quarter).count();
        assert!((13..=17).contains(&polls), "{quarter}: {polls}");
    }
}
