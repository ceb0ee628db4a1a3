//! A spinner while CallTools is asked, on standard error and only on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Smooth to the eye, and no work for the machine.
const TICK: Duration = Duration::from_millis(100);

/// Turns until it is dropped, and leaves nothing behind. If standard error is not a terminal, it draws nothing.
#[derive(Debug)]
pub(super) struct Spinner(ProgressBar);

impl Spinner {
    /// Starts a spinner that counts finished queues.
    pub fn counting(queues: usize) -> Self {
        Self::start(queues, "{spinner} asking CallTools, {pos} of {len} done")
    }

    /// Starts a spinner for a wait of a few seconds for CallTools.
    pub fn asking() -> Self {
        Self::start(0, "{spinner} asking CallTools")
    }

    /// Starts a spinner for the daemon, which reports no progress.
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

    /// Counts another finished queue.
    pub fn done(&self) {
        self.0.inc(1);
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
