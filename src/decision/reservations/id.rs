//! The id of a reservation.

use std::fmt;

/// Identifies a reservation. Random, so that none is used twice although only the last ones are remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReservationId(Box<str>);

impl ReservationId {
    pub(super) fn random() -> Self {
        Self(format!("{:032x}", fastrand::u128(..)).into())
    }

    /// Creates the id from a request or a file.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
