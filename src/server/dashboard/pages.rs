//! What pages keep between requests: the readers of the history, and the thread that renders with the pages that it has rendered.
//!
//! Handlers get it as an extension, which the router adds to every request.

use super::{history::Past, press::Press};

/// See the [module](self).
#[derive(Debug)]
pub(in crate::server) struct Pages {
    /// Reads the history.
    pub(in crate::server) past: Past,
    /// Renders pages.
    pub(super) press: Press,
}

impl Pages {
    pub(in crate::server) fn new() -> Self {
        Self {
            past: Past::new(),
            press: Press::new(),
        }
    }

    /// For the app of the next configuration: the same threads, and nothing that was read or rendered for other queues.
    pub(in crate::server) fn successor(&self) -> Self {
        Self {
            past: self.past.successor(),
            press: self.press.successor(),
        }
    }
}
