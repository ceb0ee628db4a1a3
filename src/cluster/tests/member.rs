//! Tests what a leader may send, and until when.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::sleep};

use crate::{
    budget::{Admitted, Witness as _},
    clock::{Clock as _, VirtualClock},
    cluster::member::{Member, Order},
};

/// Returns a member that leads for an hour, and whose log takes `delay` to confirm an entry.
fn leader(delay: Duration) -> (Arc<Member>, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::default());
    let (orders, mut ordered) = mpsc::channel(1);
    let member = Member::with_orders(orders, clock.clone());
    member
        .tenure
        .set(clock.now().boot + Duration::from_secs(3600));
    tokio::spawn(async move {
        while let Some(order) = ordered.recv().await {
            sleep(delay).await;
            if let Order::Publish(_, Some(done)) = order {
                let _ = done.send(true);
            }
        }
    });
    (member, clock)
}

fn admitted(clock: &VirtualClock) -> Admitted {
    Admitted {
        number: 1,
        polling: true,
        at: clock.now(),
        decided: true,
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_sent_within_two_seconds_of_its_admission_or_never() {
    let (member, clock) = leader(Duration::from_millis(1_900));
    let request = admitted(&clock);
    assert!(member.admitted(request).await);
    assert!(member.may_send(&request));
    // Other nodes count it from when they heard of it, so it must not arrive much later.
    sleep(Duration::from_millis(200)).await;
    assert!(member.leads() && !member.may_send(&request));
    assert!(member.may_send(&admitted(&clock)), "a new one may be sent");

    let (member, clock) = leader(Duration::from_millis(2_100));
    assert!(!member.admitted(admitted(&clock)).await, "logged too late");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_the_lease_has_ended() {
    let (member, clock) = leader(Duration::ZERO);
    let request = admitted(&clock);
    member.tenure.set(clock.now().boot);
    assert!(!member.leads());
    assert!(!member.admitted(request).await);
    assert!(!member.may_send(&request));
}
