//! Tests an engine whose clock is set.

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn an_engine_whose_clock_is_set_by_an_hour_changes_nothing() {
    // At any moment between two looks of the leader at the lease, when it may publish first.
    for (is_ahead, later) in [true, false]
        .into_iter()
        .flat_map(|is| (0..6).map(move |n| (is, n)))
    {
        let (fixture, exchange) = fixture(3, 30);
        let (leader, follower) = pair(&fixture, &exchange).await;
        sleep(LEASE / 3 * later / 6).await;
        let _ = fixture.sent();
        {
            let mut ahead = exchange.ahead.lock().unwrap();
            *ahead = match is_ahead {
                true => *ahead + HOUR,
                false => *ahead - HOUR,
            };
        }
        for second in 0..60 {
            sleep(SECOND).await;
            for place in fixture.places() {
                let one = leader.decide(&fixture, place);
                let other = follower.decide(&fixture, place);
                assert!(one.reason.is_known() && other.reason.is_known());
                let (one, other) = (one.age.unwrap(), other.age.unwrap());
                let case = format!("{is_ahead} {later} {second}: {other:?} {one:?}");
                assert!(other + Duration::from_millis(2) >= one, "{case}");
                assert!(other <= one + SECOND * 3, "{case}");
            }
        }
        assert!(leader.member.leads() && !follower.member.leads());
        let sent = fixture.sent().len();
        assert!(sent > 10, "{sent}");
        sleep(SECOND).await;
        assert_eq!(leader.budget.usage().used, follower.budget.usage().used);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_after_the_engines_clock_was_set_back_shows_true_ages() {
    // At any moment between two looks of the leader at the lease, so that it may notice later.
    for later in 0..3 {
        let (fixture, exchange) = fixture(3, 30);
        // So few requests that most of what is known is older than the jump.
        let start = |name| Running::of(&fixture, &exchange, name, Known::default(), 3, 100);
        let leader = start("one");
        leader.until_it_leads().await;
        let follower = start("two");
        sleep(MINUTE * 20 + LEASE / 3 * later / 3).await;
        let back = SECOND * 30;
        *exchange.ahead.lock().unwrap() -= back;
        sleep(SECOND).await;
        let new = start("three");
        sleep(LEASE / 2).await;
        let (mut are_older, mut compared) = (0, 0);
        for second in 0..60 {
            sleep(SECOND).await;
            for place in fixture.places() {
                let ages = [&leader, &follower, &new];
                let ages = ages.map(|node| node.decide(&fixture, place).age.unwrap());
                let [one, others @ ..] = ages;
                for other in others {
                    let case = format!("{later} {second}: {other:?} {one:?}");
                    assert!(other + Duration::from_millis(2) >= one, "{case}");
                    assert!(other <= one + SECOND * 3, "{case}");
                }
                are_older += usize::from(one > back);
                compared += 1;
            }
        }
        assert!(are_older > compared / 4, "{are_older} of {compared}");
        assert!(leader.member.leads());
    }
}
