//! The lag of a reading. A list that is read page by page may come from several copies of CallTools' data, so a reading is no newer than its oldest
//! page.

use crate::{account::roster::earlier, clock::Moment};

/// The earliest look that a page of a reading lags behind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lag(Option<Moment>);

impl Lag {
    /// Adds the look that a page lags behind, if it does. Returns the earliest so far.
    pub fn add(&mut self, lag: Option<Moment>) -> Option<Moment> {
        self.0 = lag.map(|lag| earlier(lag, self.0)).or(self.0);
        self.0
    }
}
