//! What is known about calls at zero seats in a queue.

use std::sync::Arc;

use super::app::{App, Queue};
use crate::{budget::Witness as _, decision::soon::report::QueueReport};

impl App {
    /// Returns the report; `None` before the account has made one. If this node does not lead the account, it reports only that `soon` is on.
    pub(crate) fn soon_report(&self, queue: &Queue) -> Option<QueueReport> {
        let account = self.account(&queue.key.account)?;
        if let Some(report) = account.health().soon {
            return report.queue(&queue.key.queue).cloned();
        }
        let leads = account.member.as_ref().is_none_or(|member| member.leads());
        let name = || Arc::clone(&queue.key.queue);
        (queue.rules.soon.is_on && !leads)
            .then(|| QueueReport::of_leader(name(), queue.rules.soon.terms))
    }
}
