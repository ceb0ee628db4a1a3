//! Reads the dates of a page: whether they are in order.

use jiff::Timestamp;

use crate::model::agent::Agent;

/// The dates of one page.
pub(super) struct Dates {
    /// The number of rows without a date before the first dated row.
    pub undated: usize,
    pub dated: Vec<Timestamp>,
    /// Whether undated rows follow the dated ones, so that no later page has dates.
    pub is_rest_undated: bool,
}

impl Dates {
    /// Reads the dates of a page; `None` if they are not in order.
    pub fn read(rows: &[Agent]) -> Option<Self> {
        let undated = rows.iter().take_while(|row| row.status_since.is_none());
        let undated = undated.count();
        let rest = || rows[undated..].iter().map(|row| row.status_since);
        let dated: Vec<Timestamp> = rest().map_while(|date| date).collect();
        let after = rest().skip(dated.len());
        let is_broken = after.clone().any(|date| date.is_some());
        if is_broken || !dated.is_sorted_by(|one, next| one >= next) {
            return None;
        }
        Some(Self {
            undated,
            is_rest_undated: after.count() > 0,
            dated,
        })
    }
}

/// Counts the different dates.
pub(super) fn distinct(descending: &[Timestamp]) -> usize {
    let steps = descending.windows(2).filter(|pair| pair[0] != pair[1]);
    steps.count() + usize::from(!descending.is_empty())
}
