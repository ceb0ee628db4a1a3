//! Requests that a node sends although another one leads the account: those of a check, which a person starts on this node.
//!
//! A check is about this node: its rules, its token, its way to CallTools, which it needs when it leads. So it sends the requests itself. The leader
//! counts each of them in the log before it is sent, as for accounts that share a budget. If no node leads, none is sent.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::member::{Member, SEND_WITHIN};
use crate::budget::{Admitted, Witness};

/// See the [module](self).
#[derive(Debug)]
pub struct Guest {
    account: Arc<Member>,
    /// Whose log has the account's requests: its own, or that of the budget that it shares.
    counter: Arc<Member>,
}

impl Guest {
    /// Creates the witness of a node's own requests.
    pub fn new(account: Arc<Member>, counter: Arc<Member>) -> Self {
        Self { account, counter }
    }
}

impl Witness for Guest {
    fn leads(&self) -> bool {
        self.counter.leads() || self.counter.status().leader().is_some()
    }

    fn decides(&self) -> bool {
        self.counter.leads()
    }

    fn process(&self) -> u64 {
        self.counter.process()
    }

    fn admitted(&self, admitted: Admitted) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            // Requests with another account's token would count in the wrong hour. A leader has the claim, or is alone.
            (self.account.leads() || self.account.has_claim().await)
                && self.counter.counts(&admitted).await
                && self.may_send(&admitted)
        })
    }

    fn may_send(&self, admitted: &Admitted) -> bool {
        match admitted.decided {
            true => self.counter.may_send(admitted),
            false => self.counter.clock.now().boot <= admitted.at.boot + SEND_WITHIN,
        }
    }

    fn answered(&self, admitted: &Admitted) {
        self.counter.counts_answered(admitted);
    }

    fn goes_on_as(&self, identity: &str) {
        self.account.goes_on_as(identity);
    }

    fn silenced(&self, throttled: bool, wait: Option<Duration>) {
        self.counter.counts_silence(throttled, wait);
    }
}
