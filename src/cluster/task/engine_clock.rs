//! Notices jumps of the engine's clock, by which entries in the log are dated.

use std::time::Duration;

use super::Task;
use crate::clock::Moment;

/// A larger disagreement between the engine's clock and ours from one answer to the next is a jump of its clock.
const JUMP: Duration = Duration::from_millis(1500);

/// The engine's clock, as this node has seen it.
#[derive(Debug, Default)]
pub(super) struct EngineClock {
    /// Its time at its last answer, and ours at the same moment.
    time: Option<(Duration, Duration)>,
    /// When this node last knew everything, if the clock has jumped since.
    pub(super) suspect_since: Option<Moment>,
    /// When this node last knew everything.
    pub(super) up_to_date: Option<Moment>,
}

impl EngineClock {
    /// Records its time from an answer that came at `now`. Returns whether it has jumped.
    fn note(&mut self, engine: Duration, now: Moment) -> bool {
        let expected = self.time.map(|_| self.at(now.boot));
        let has_jumped = expected.is_some_and(|expected| expected.abs_diff(engine) > JUMP);
        if has_jumped {
            self.suspect_since = self.up_to_date.or(Some(now));
        }
        self.time = Some((engine, now.boot));
        has_jumped
    }

    /// Returns its time at a boot time of this machine; zero before its first answer.
    pub(super) fn at(&self, boot: Duration) -> Duration {
        self.time.map_or(Duration::ZERO, |(engine, at)| {
            engine.saturating_add(boot.saturating_sub(at))
        })
    }
}

impl Task {
    /// Records the engine's clock from an answer that came at `now`.
    pub(super) fn note_time(&mut self, engine: Duration, now: Moment) {
        if self.engine_clock.note(engine, now) && self.leads() {
            // To a node that has started since, what was written before looks younger or older than it is.
            self.replace_log();
            self.next_beat = Duration::ZERO;
        }
    }
}
