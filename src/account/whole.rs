//! Applies the full list of agents when it was requested in one piece.

use std::fmt;

use super::Account;
use crate::{calltools::RosterPage, model::fault::Fault};

impl Account {
    /// Applies the answer: the whole list, or a part that is no better than a page.
    pub(super) fn take_in_whole(&mut self, mut list: RosterPage) -> Result<(), Fault> {
        if self.schedule.is_distrustful(self.now()) {
            return Ok(()); // It was under way when sweeps were suspended.
        }
        let now = self.deps.clock.now();
        let (rows, is_last) = (list.agents.len(), list.next.is_none());
        let was_one = self.schedule.status_pages() == 1 && self.sweep.is_trusted();
        if !self.feeds.take_whole(rows, is_last, now) {
            self.read_a_page_at_a_time(format_args!("it sent {rows} rows"));
            return Ok(());
        }
        if !was_one {
            tracing::info!(
                account = &*self.name,
                agents = rows,
                "CallTools sends all agents in one answer, so one request is enough for all statuses"
            );
        }
        self.swept.add(1, &mut list)?;
        self.take_in_sweep(1, list);
        Ok(())
    }

    /// Handles a failure or a refusal. That is no fault, because the list can be read page by page.
    pub(super) fn whole_failed(&mut self, fault: &Fault, is_refusal: bool) {
        self.feeds.whole_failed(is_refusal, self.deps.clock.now());
        self.read_a_page_at_a_time(format_args!("{fault}"));
    }

    fn read_a_page_at_a_time(&mut self, why: fmt::Arguments<'_>) {
        tracing::info!(
            account = &*self.name,
            %why,
            "CallTools does not send all agents in one answer, so they are read a page at a time"
        );
        self.ask_next();
        self.plan();
    }
}
