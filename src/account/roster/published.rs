//! The rows of a queue as they are published.
//!
//! A published list never changes, so each change needs another list, and a large account has dozens of rows in each of hundreds of queues. To copy
//! a list is to touch every row's reference count, most of them outside the processor's caches. So two lists take turns: the one that was published
//! before gets only the rows in which it differs.

use std::sync::Arc;

use crate::model::agent::Agent;

/// If more than this part of the rows has changed, a quarter, the list before is not kept: it would save little, and take memory.
const FEW: usize = 4;

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Published {
    rows: Arc<[Arc<Agent>]>,
    before: Option<Before>,
}

/// The list that was published before.
#[derive(Clone, Debug)]
struct Before {
    rows: Arc<[Arc<Agent>]>,
    /// Where it differs from the one now.
    outdated: Vec<usize>,
}

impl Published {
    pub(super) fn new(rows: Arc<[Arc<Agent>]>) -> Self {
        Self { rows, before: None }
    }

    pub(super) fn rows(&self) -> &Arc<[Arc<Agent>]> {
        &self.rows
    }

    /// Replaces rows, each by its place. Lists that were published before stay as they are.
    pub(super) fn replace(&mut self, changed: Vec<(usize, Arc<Agent>)>) {
        if changed.is_empty() {
            return;
        }
        let mut next = self.take_before().unwrap_or_else(|| Arc::clone(&self.rows));
        let outdated: Vec<_> = changed.iter().map(|(place, _)| *place).collect();
        let rows = Arc::make_mut(&mut next); // Copies, if anyone else still has it.
        for (place, row) in changed {
            rows[place] = row;
        }
        let rows = std::mem::replace(&mut self.rows, next);
        let are_few = outdated.len() * FEW <= rows.len();
        self.before = are_few.then_some(Before { rows, outdated });
    }

    /// Returns the list before with the rows of today, unless a reader still has it.
    fn take_before(&mut self) -> Option<Arc<[Arc<Agent>]>> {
        let Before { mut rows, outdated } = self.before.take()?;
        let known = Arc::get_mut(&mut rows)?;
        for place in outdated {
            known[place].clone_from(&self.rows[place]);
        }
        Some(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::agent;

    fn row(name: &str) -> Arc<Agent> {
        Arc::new(agent(name, name, "Available"))
    }

    fn names(rows: &[Arc<Agent>]) -> String {
        rows.iter().map(|row| &*row.name).collect()
    }

    #[test]
    fn a_published_list_never_changes_and_the_next_one_has_every_change() {
        let mut published =
            Published::new(["a", "b", "c", "d", "e", "f", "g", "h"].map(row).into());
        let mut held = Vec::new();
        let mut expected = *b"abcdefgh";
        for step in 0..60_usize {
            // Few rows change, or many.
            let places = (0..1 + step / 3 % 4).map(|n| (step * 7 + n) % 8);
            let places: Vec<_> = places.collect();
            for place in &places {
                expected[*place] = b'A' + (step + place) as u8 % 26;
            }
            let text = String::from_utf8_lossy(&expected).into_owned();
            let changed = places
                .iter()
                .map(|place| (*place, row(&text[*place..=*place])));
            published.replace(changed.collect());
            assert_eq!(names(published.rows()), text);
            // A reader keeps some of them, and one for a few changes only.
            if step % 3 == 0 {
                held.push((Arc::clone(published.rows()), text));
            }
            if step % 5 == 0 {
                held.pop();
            }
        }
        for (rows, text) in held {
            assert_eq!(names(&rows), text);
        }
    }

    #[test]
    fn two_lists_take_turns_once_nobody_reads_the_older_one() {
        let mut published = Published::new(["a", "b", "c", "d"].map(row).into());
        let mut seen = Vec::new();
        for n in 0..6 {
            published.replace(vec![(n % 2, row(&n.to_string()))]);
            seen.push(Arc::as_ptr(published.rows()));
        }
        assert_eq!(seen[0], seen[2]);
        assert_eq!(seen[1], seen[3]);
        assert_eq!(seen[2], seen[4]);
        assert_eq!(names(published.rows()), "45cd");
    }

    #[test]
    fn nothing_changed_is_the_same_list() {
        let mut published = Published::new(["a"].map(row).into());
        let before = Arc::clone(published.rows());
        published.replace(Vec::new());
        assert!(Arc::ptr_eq(&before, published.rows()));
    }
}
