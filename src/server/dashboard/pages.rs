//! What pages keep between requests: the readers of the history, and the rendering thread with its pages.
//!
//! Handlers get it as an extension, which the router adds to every request.

use super::{history::HistoryReader, renderer::Renderer};

/// See the [module](self).
#[derive(Debug)]
pub(in crate::server) struct Pages {
    /// Reads the history.
    pub(in crate::server) history: HistoryReader,
    /// Renders pages.
    pub(super) renderer: Renderer,
}

impl Pages {
    pub(in crate::server) fn new() -> Self {
        Self {
            history: HistoryReader::new(),
            renderer: Renderer::new(),
        }
    }

    /// Creates the pages of the next config: the same threads, without anything read or rendered for other queues.
    pub(in crate::server) fn successor(&self) -> Self {
        Self {
            history: self.history.successor(),
            renderer: self.renderer.successor(),
        }
    }
}
