//! Tests the mode in which each question that waits gets its own poll.

use super::*;
use crate::{fixtures::Still, logged::listen};

/// The requests of the hour that are left for others.
const LEFT: u32 = 60;

/// Returns an account that can poll for each of ten questions a minute.
fn small() -> Fixture {
    still(3, 30).start()
}

impl Fixture {
    /// Asks about a queue and waits for a fresher answer. Returns whether the queue was polled for it.
    async fn ask_and_wait(&self, place: usize) -> bool {
        self.question(place);
        let meters = self.metrics.queue(&self.keys[place]).unwrap();
        meters.count_patient();
        self.sent();
        self.wait(place, Staleness::NONE, 5 * SECOND).await;
        let of_it = format!("queue={}", self.ids[place]);
        self.sent().iter().any(|path| path.contains(&of_it))
    }

    /// Asks ten questions a minute. Returns how many of them were polled for.
    async fn ask_for(&self, minutes: usize) -> usize {
        let mut polled = 0;
        for n in 0..10 * minutes {
            polled += usize::from(self.ask_and_wait(n % self.keys.len()).await);
            sleep(6 * SECOND).await;
        }
        polled
    }
}

#[tokio::test(start_paused = true)]
async fn each_question_is_polled_for_while_sixty_requests_are_left() {
    let (logged, _guard) = listen();
    let fixture = small();
    let early = fixture.ask_for(59).await;
    assert!(early < 20, "{early} of 590 met a poll of the background");
    fixture.ask_for(2).await;
    assert_eq!(fixture.ask_for(5).await, 50, "{:?}", logged.lines());

    // Refreshes and other software spend what is left.
    let used = || fixture.budget.usage().used;
    let limit = fixture.budget.usage().limit;
    while used() + LEFT <= limit {
        drop(fixture.budget.permit(Purpose::OnDemand).await.unwrap());
    }
    for place in fixture.places() {
        assert!(!fixture.ask_and_wait(place).await, "{} of {limit}", used());
    }
    let mut minutes = 0;
    while !fixture.ask_and_wait(0).await {
        sleep(6 * SECOND).await;
        minutes += 1;
        assert!(minutes < 200, "{} of {limit}", used());
    }
    assert!(used() <= limit - LEFT + 1, "{} of {limit}", used());
    fixture.assert_all_known();
    assert!(fixture.simulator.worst_sliding_hour() <= 1000);
    let lines = logged.lines().into_iter();
    let lines = lines.filter(|line| line.contains("gets its own poll"));
    assert_eq!(lines.count(), 1, "{:?}", logged.lines());
}

#[tokio::test(start_paused = true)]
async fn a_restart_continues_with_the_busiest_hour() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let path = folder.path().join("state.sqlite3");
        Some(Arc::new(
            Store::open(&path, Arc::new(Still::new())).unwrap(),
        ))
    };
    let mut fixture = small();
    fixture.store = open();
    fixture.start_task(Known::default());
    fixture.ask_for(63).await;
    assert!(fixture.ask_and_wait(0).await);
    // To a task that takes over, and to the next process.
    fixture.restart().await;
    sleep(10 * SECOND).await;
    assert!(fixture.ask_for(1).await >= 9);
    let store = fixture.store.take().unwrap();
    fixture.start_task(Known::default());
    store.finish(20 * SECOND);
    sleep(10 * SECOND).await;
    assert!(fixture.ask_for(1).await <= 1, "nothing is known");
    fixture.store = open();
    fixture.start_task(Known::default());
    sleep(10 * SECOND).await;
    assert!(fixture.ask_for(1).await >= 9);
}
