//! Tests opening hours: a closed queue is not polled, and is known when it opens.

use super::*;
use crate::fixtures::opening_hours;

/// Parses opening hours in UTC. The tests start on a Sunday at 10:00 UTC.
fn hours(open: &str) -> Option<Arc<OpeningHours>> {
    opening_hours(&[open], "UTC")
}

impl Fixture {
    async fn pass(&self, minutes: u32) {
        sleep(MINUTE * minutes).await;
    }

    /// Returns how many requests named each queue since the last call.
    fn polls(&self) -> Vec<usize> {
        let sent = self.sent();
        let polls = |id: &u64| {
            let query = format!("queue={id}&");
            sent.iter().filter(|path| path.contains(&query)).count()
        };
        self.ids.iter().map(polls).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_account_sends_nothing_and_is_known_when_it_opens() {
    let fixture = Setting {
        hours: vec![hours("Sun 10:30-11:00"); 3],
        by_name: true,
        ..still(3, 12)
    }
    .start();
    fixture.pass(1).await;
    // Checking its names is worth one request even while it is closed.
    let sent = fixture.sent();
    assert!(
        matches!(&*sent, [one] if one.starts_with("queues/")),
        "{sent:?}"
    );
    fixture.pass(27).await;
    assert_eq!(fixture.sent(), Vec::<String>::new(), "28 minutes");
    assert_eq!(fixture.decide(0).reason, Reason::Closed);
    // Until a second before it opens.
    sleep(2 * MINUTE - SECOND).await;
    assert_eq!(fixture.decide(0).reason, Reason::Closed);
    sleep(SECOND).await;
    fixture.assert_all_known();
    for place in fixture.places() {
        assert_eq!(fixture.decide(place).count, Some(fixture.seats(place)));
    }
    fixture.pass(30).await;
    fixture.sent();
    fixture.pass(120).await;
    assert_eq!(fixture.sent(), Vec::<String>::new(), "after the closing");
    assert_eq!(fixture.decide(0).reason, Reason::Closed);
}

/// Thirty queues without sweeps take turns of 114 s, so polling starts that long, and a minute more, before the opening.
#[tokio::test(start_paused = true)]
async fn a_queue_is_polled_again_one_round_before_it_opens() {
    let mut setting = Setting {
        hours: vec![opening_hours(&["Sun 10:30-11:00", "Sun 14:30-15:00"], "UTC"); 30],
        ..still(30, 60)
    };
    setting.options.sweep = false;
    let fixture = setting.start();
    let round = fixture.budget.usual_period() * 30;
    assert!(round > MINUTE, "{round:?}");
    let lead = round + MINUTE + 2 * SECOND;
    sleep(60 * MINUTE).await;
    fixture.polls();
    sleep(210 * MINUTE - lead).await;
    assert_eq!(fixture.polls(), [0; 30], "at noon");
    sleep(lead).await;
    fixture.assert_all_known();
    let polls = fixture.polls();
    assert!(
        polls.iter().all(|polls| (1..=2).contains(polls)),
        "{polls:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn open_queues_share_the_slots_of_closed_ones() {
    let open_for = async |hours| {
        let mut setting = Setting {
            hours: vec![hours; 3],
            ..still(4, 12)
        };
        setting.options.sweep = false;
        let fixture = setting.start();
        fixture.pass(10).await;
        fixture.sent();
        fixture.pass(20).await;
        fixture.polls()
    };
    let all = open_for(None).await;
    let alone = open_for(hours("Mon 08:00-09:00")).await;
    assert_eq!(alone[..3], [0; 3]);
    let (shared, all_of_them) = (all[3] as f64, alone[3] as f64);
    assert!(
        (3.8..4.2).contains(&(all_of_them / shared)),
        "{all:?} {alone:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refresh_polls_even_a_closed_queue() {
    let fixture = Setting {
        hours: vec![hours("Mon 08:00-09:00"); 2],
        ..still(2, 12)
    }
    .start();
    fixture.pass(5).await;
    assert_eq!(fixture.polls(), [0, 0]);
    let (reply, answer) = tokio::sync::oneshot::channel();
    let queue = fixture.keys[0].clone();
    fixture
        .asks
        .send(Ask::Refresh { queue, reply })
        .await
        .unwrap();
    answer.await.unwrap().unwrap();
    assert_eq!(fixture.polls(), [1, 0]);
    assert_eq!(fixture.decide(0).reason, Reason::Closed);
}

/// At the end of the day the lists become empty, which is not reported.
#[tokio::test(start_paused = true)]
async fn lists_that_were_empty_at_closing_time_are_not_reported_at_night() {
    let fixture = Setting {
        hours: vec![hours("Sun 09:00-10:30"); 2],
        ..still(2, 12)
    }
    .start();
    fixture.pass(20).await;
    fixture.simulator.world(|world| {
        for queue in &fixture.ids {
            for agent in world.agents_of(*queue) {
                world.leave_queue(*queue, &agent);
            }
        }
    });
    fixture.pass(5).await;
    assert!(fixture.health.borrow().emptied.is_some());
    fixture.pass(6).await;
    assert_eq!(fixture.health.borrow().emptied, None);
}
