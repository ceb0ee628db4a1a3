//! `ordering=`, as DRF's filter and PostgreSQL treat it.
//!
//! DRF ignores a field that it does not allow. PostgreSQL treats null as larger than any date, so nulls come first in descending
//! order. The order of equal dates is undefined: the caller decides.

use std::ops::Range;

use super::quirks::{NullOrder, Ordering};

/// A field that `agentstatuses/` can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub(super) enum SortField {
    AgentStatusModifiedOn,
    LoggedInSince,
    #[strum(serialize = "pk", serialize = "id")]
    Pk,
}

/// The order that a list is given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SortOrder {
    pub(super) field: SortField,
    pub(super) descending: bool,
}

impl SortOrder {
    /// Parses the value of `ordering=`; `None` keeps the roster's order. `date_name` replaces the usual name of the date of change.
    pub(super) fn parse(
        asked: Option<&str>,
        quirk: Ordering,
        date_name: Option<&str>,
    ) -> Option<Self> {
        let fields = asked?.split(',').map(str::trim);
        let mut known = fields.filter_map(|name| {
            let (descending, name) = match name.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, name),
            };
            let field = match (name.parse().ok(), date_name) {
                (_, Some(date_name)) if name == date_name => SortField::AgentStatusModifiedOn,
                (Some(SortField::AgentStatusModifiedOn), Some(_)) => return None,
                (field, _) => field?,
            };
            Some(SortOrder { field, descending })
        });
        let first = known.next()?;
        match quirk {
            Ordering::On => Some(first),
            Ordering::Off => None,
            Ordering::AscendingOnly => Some(Self {
                descending: false,
                ..first
            }),
            Ordering::WrongField => Some(Self {
                field: SortField::LoggedInSince,
                ..first
            }),
            Ordering::ByNumber => Some(Self {
                field: SortField::Pk,
                ..first
            }),
        }
    }
}

/// What a row is sorted by: where nulls go, then the value, in nanoseconds for a date.
type Key = (bool, i128);

/// Returns the sort key of a value that may be null.
pub(super) fn key(value: Option<i128>, nulls: NullOrder) -> Key {
    let null_is_largest = nulls == NullOrder::Largest;
    (value.is_none() == null_is_largest, value.unwrap_or(0))
}

/// Puts the rows of one page in order and leaves the others anywhere: a page costs one pass over the roster, and
/// only its own rows are sorted.
pub(super) fn sort_page<T: Copy>(
    rows: &mut [T],
    page: Range<usize>,
    descending: bool,
    key: impl Fn(T) -> Key,
    tie: impl Fn(T) -> u64,
) {
    let compare = |a: &T, b: &T| {
        let by_key = key(*a).cmp(&key(*b));
        let by_key = if descending { by_key.reverse() } else { by_key };
        by_key.then_with(|| tie(*a).cmp(&tie(*b)))
    };
    let mut rest = rows;
    if page.start > 0 && page.start < rest.len() {
        rest.select_nth_unstable_by(page.start, compare);
        rest = &mut rest[page.start..];
    }
    let length = page.len();
    if length < rest.len() {
        rest.select_nth_unstable_by(length, compare);
        rest = &mut rest[..length];
    }
    rest.sort_unstable_by(compare);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_the_same_rows_as_a_sort_of_the_whole_list() {
        let mut dice = fastrand::Rng::with_seed(3);
        let rows: Vec<(Option<i128>, u64)> = (0..500)
            .map(|n| (dice.bool().then(|| i128::from(dice.u8(..))), n))
            .collect();
        for (nulls, descending) in [
            (NullOrder::Largest, true),
            (NullOrder::Largest, false),
            (NullOrder::Smallest, true),
        ] {
            let sort = |rows: &mut [_], page| {
                let by = |row: (Option<i128>, u64)| key(row.0, nulls);
                sort_page(rows, page, descending, by, |row| row.1);
            };
            let mut sorted = rows.clone();
            sort(&mut sorted, 0..500);
            let first = nulls == NullOrder::Largest && descending;
            assert_eq!(sorted[0].0.is_none(), first, "{nulls:?} {descending}");
            for start in (0..500).step_by(90) {
                let page = start..(start + 90).min(500);
                let mut some = rows.clone();
                sort(&mut some, page.clone());
                assert_eq!(some[page.clone()], sorted[page]);
            }
        }
    }

    #[test]
    fn an_unknown_field_is_ignored() {
        let parse = |asked| SortOrder::parse(Some(asked), Ordering::On, None);
        let newest_first = Some(SortOrder {
            field: SortField::AgentStatusModifiedOn,
            descending: true,
        });
        assert_eq!(parse("-agent_status_modified_on"), newest_first);
        assert_eq!(parse("nonsense,-agent_status_modified_on"), newest_first);
        assert_eq!(parse("nonsense"), None);
        assert_eq!(SortOrder::parse(Some("-pk"), Ordering::Off, None), None);
        let renamed = |asked| SortOrder::parse(Some(asked), Ordering::On, Some("modified"));
        assert_eq!(renamed("-modified"), newest_first);
        assert_eq!(renamed("-agent_status_modified_on"), None);
    }
}
