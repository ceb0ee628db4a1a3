//! Notices jumps of the engine's clock, by which entries in the log are dated.

use std::time::Duration;

use super::Task;
use crate::clock::Moment;

/// A larger disagreement between the engine's clock and ours from one answer to the next is a jump of its clock.
const JUMP: Duration = Duration::from_millis(1500);

impl Task {
    /// Records the engine's clock from an answer that came at `now`.
    pub(super) fn note_time(&mut self, engine: Duration, now: Moment) {
        if let Some((before, at)) = self.engine_time {
            let expected = before.saturating_add(now.boot.saturating_sub(at));
            if expected.abs_diff(engine) > JUMP {
                self.suspect_since = self.up_to_date.or(Some(now));
                if self.leads() {
                    // To a node that has started since, what was written before looks younger or older than it is.
                    self.replace_log();
                    self.next_beat = Duration::ZERO;
                }
            }
        }
        self.engine_time = Some((engine, now.boot));
    }
}
