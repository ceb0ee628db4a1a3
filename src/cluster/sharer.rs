//! An account that shares its budget with others. Their leaders may be different nodes, but one node must count the requests of all of them.
//!
//! So the budget has a member of its own, with a lease and a log. The holder of that lease counts. If an account's leader does not hold it, it
//! asks the holder before each request, and sends the request once the budget's log has it. All nodes follow that log, so each knows the hour.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{
    member::Member,
    message::{Said, What},
};
use crate::budget::{Admitted, Witness};

/// How long the leader may take to answer. A request is sent within two seconds of its admission, or never.
const TIMEOUT: Duration = Duration::from_secs(1);

/// See the [module](self).
#[derive(Debug)]
pub struct Sharer {
    account: Arc<Member>,
    budget: Arc<Member>,
}

impl Sharer {
    /// Joins an account's member and that of the budget that it spends from.
    pub fn new(account: Arc<Member>, budget: Arc<Member>) -> Self {
        Self { account, budget }
    }
}

impl Member {
    /// Counts a request of this process, or has the leader count it. Returns whether it is in the log.
    pub(super) async fn counts(&self, admitted: &Admitted) -> bool {
        if admitted.decided {
            return self.admitted(*admitted).await;
        }
        let what = What::Spend {
            mark: (self.process(), admitted.number),
            polling: admitted.polling,
        };
        self.ask(what, TIMEOUT).await == Some(Said::Done)
    }

    /// Records the answer to such a request.
    pub(super) fn counts_answered(&self, admitted: &Admitted) {
        match self.leads() {
            true => self.answered(admitted),
            false => self.tell(What::Answered {
                mark: (self.process(), admitted.number),
                polling: admitted.polling,
            }),
        }
    }

    /// Records that such a request met a pause.
    pub(super) fn counts_silence(&self, throttled: bool, wait: Option<Duration>) {
        match self.leads() {
            true => self.silenced(throttled, wait),
            false => self.tell(What::Silenced {
                throttled,
                wait_ms: wait.map(|wait| wait.as_millis() as u64),
            }),
        }
    }
}

impl Witness for Sharer {
    fn leads(&self) -> bool {
        self.account.leads()
    }

    fn decides(&self) -> bool {
        self.budget.leads()
    }

    fn process(&self) -> u64 {
        self.account.process()
    }

    fn admitted(&self, admitted: Admitted) -> BoxFuture<'_, bool> {
        Box::pin(async move { self.budget.counts(&admitted).await && self.may_send(&admitted) })
    }

    fn may_send(&self, admitted: &Admitted) -> bool {
        self.account.may_send(admitted)
    }

    fn answered(&self, admitted: &Admitted) {
        self.budget.counts_answered(admitted);
    }

    fn goes_on_as(&self, identity: &str) {
        self.account.goes_on_as(identity);
    }

    fn silenced(&self, throttled: bool, wait: Option<Duration>) {
        self.budget.counts_silence(throttled, wait);
    }
}
