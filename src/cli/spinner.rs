//! A spinner while CallTools is asked, on standard error and only on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Smooth to the eye, and nothing to the machine.
const TICK: Duration = Duration::from_millis(100);

/// Turns until it is dropped, and leaves nothing behind. Where standard error is no terminal, it draws nothing at all.
#[derive(Debug)]
pub(super) struct Spinner(ProgressBar);

impl Spinner {
    /// Counts the queues that are done.
    pub fn counting(queues: usize) -> Self {
        Self::start(queues, "{spinner} asking CallTools, {pos} of {len} done")
    }

    /// Waits for CallTools, for a few seconds.
    pub fn asking() -> Self {
        Self::start(0, "{spinner} asking CallTools")
    }

    /// Waits for the daemon, which reports no progress.
    pub fn waiting() -> Self {
        Self::start(0, "{spinner} the daemon asks CallTools")
    }

    fn start(queues: usize, template: &str) -> Self {
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        let bar = ProgressBar::new(queues as u64).with_style(style);
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }

    /// One more queue is done.
    pub fn done(&self) {
        self.0.inc(1);
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
