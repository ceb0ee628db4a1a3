use super::*;

fn raw(id: u64, name: &str) -> Box<RawValue> {
    RawValue::from_string(format!(r#"{{"id":{id},"name":"{name}"}}"#)).unwrap()
}

fn bad() -> Box<RawValue> {
    RawValue::from_string(r#"{"name":"nobody"}"#.to_owned()).unwrap()
}

fn page(rows: Vec<Box<RawValue>>, count: Option<u64>, next: Option<u32>) -> Page {
    Page {
        rows: rows.iter().map(|row| &**row).collect(),
        count,
        next,
        ..Page::default()
    }
}

fn list(names: &Names, pages: Vec<Page>) -> Result<List<'_, NamedQueue>, Fault> {
    let mut list = List::new(names, &Arc::default());
    for page in pages {
        list.add(page)?;
    }
    list.check()?;
    Ok(list)
}

fn join(rows: Vec<Box<RawValue>>, count: Option<u64>) -> Result<List<'static, NamedQueue>, Fault> {
    static NAMES: Names = Names {
        queues: None,
        statuses: None,
    };
    list(&NAMES, vec![page(rows, count, None)])
}

#[test]
fn an_entry_that_appears_twice_is_kept_once_as_last_seen() {
    let rows = vec![raw(1, "a"), raw(2, "b"), raw(1, "c"), raw(3, "d")];
    let list = join(rows, Some(3)).unwrap();
    let seen: Vec<_> = list
        .entries
        .iter()
        .map(|queue| (queue.id, &*queue.name))
        .collect();
    assert_eq!(seen, [(1, "c"), (2, "b"), (3, "d")]);
    assert!(list.is_complete());
}

#[test]
fn the_later_date_of_two_rows_of_one_agent_counts_or_else_the_later_row() {
    let row = |status: &str, date: &str| {
        let row = format!(
            r#"{{"app_user":1,"status":"{status}","queue_logged_in":true,"agent_status_modified_on":{date}}}"#
        );
        RawValue::from_string(row).unwrap()
    };
    let (early, late) = (r#""2026-11-22T10:00:00Z""#, r#""2026-11-22 10:00:30""#);
    for (first, second, status) in [
        (early, late, "second"),
        (late, early, "first"),
        (late, late, "second"),
        (late, "null", "second"),
        ("null", early, "second"),
    ] {
        let rows = vec![row("first", first), row("second", second)];
        let names = Names::default();
        let mut list: List<'_, Row> = List::new(&names, &Arc::default());
        list.add(page(rows, Some(1), None)).unwrap();
        list.check().unwrap();
        let seen: Vec<_> = list
            .entries
            .iter()
            .map(|row| row.agent.status.as_deref())
            .collect();
        assert_eq!(seen, [Some(status)], "{first} {second}");
    }
}

#[test]
fn a_list_without_any_log_in_field_is_not_an_empty_queue() {
    let row = |id: u64| {
        RawValue::from_string(format!(r#"{{"app_user":{id},"status":"Available"}}"#)).unwrap()
    };
    let names = Names::default();
    let mut list: List<'_, Row> = List::new(&names, &Arc::default());
    list.add(page(vec![row(1), row(2)], None, None)).unwrap();
    let fault = list.check().unwrap_err().to_string();
    assert!(fault.starts_with("2 of 2 rows cannot be read"), "{fault}");
}

#[test]
fn a_count_matches_or_does_not() {
    let rows = || (1..=20).chain([1]).map(|id| raw(id, "a")).collect();
    for (count, gap) in [
        (None, None),
        (Some(20), None),
        (Some(21), Some(1)),
        (Some(22), Some(2)),
        (Some(19), Some(-1)),
        (Some(0), Some(-20)),
    ] {
        let list = join(rows(), count).unwrap();
        assert_eq!(
            (list.gap(), list.is_complete()),
            (gap, gap.is_none()),
            "{count:?}"
        );
    }
    assert!(join(vec![], Some(0)).unwrap().is_complete());
    assert!(join(vec![], None).unwrap().is_complete());
}

#[test]
fn a_list_that_lacks_more_than_a_tenth_is_not_used() {
    let rows = |rows: u64| (1..=rows).map(|id| raw(id, "a")).collect::<Vec<_>>();
    for (seen, count, is_used) in [
        (0, 1, false),
        (0, 8, false),
        (3, 250, false),
        // One name may be missing. Of agents, see the tests of the client.
        (1, 2, true),
        (1, 3, false),
        (9, 10, true),
        (8, 9, true),
        (7, 9, false),
        (18, 20, true),
        (17, 20, false),
        (587, 606, true),
        (545, 606, false),
        (2, 1, true),
    ] {
        let list = join(rows(seen), Some(count));
        assert_eq!(list.is_ok(), is_used, "{seen} of {count}");
        if let Err(fault) = list {
            let words = format!("CallTools counts {count} queues and lists {seen} of them");
            assert_eq!(fault, Fault::down(Down::Incomplete, words));
        }
    }
    // Agents are counted, not rows.
    let twice = rows(10).into_iter().chain(rows(10)).collect();
    assert!(join(twice, Some(20)).is_err());
}

#[test]
fn pages_that_begin_again_end_the_list() {
    let names = Names::default();
    let first = || vec![raw(1, "a"), raw(2, "b")];
    for (pages, next) in [
        // Past its end the list is page 1 once more, the last page, or nothing at all.
        (vec![first(), vec![raw(3, "c")], first()], None),
        (vec![first(), vec![raw(3, "c")], vec![raw(3, "c")]], None),
        (vec![first(), vec![raw(3, "c")], vec![]], None),
        // A row that moved is not a new beginning.
        (vec![first(), vec![raw(2, "b"), raw(3, "c")]], Some(9)),
    ] {
        let mut list = List::<NamedQueue>::new(&names, &Arc::default());
        let mut went_on = Some(9);
        for rows in pages {
            assert_eq!(went_on, Some(9));
            went_on = list.add(page(rows, Some(3), Some(9))).unwrap();
        }
        assert_eq!((went_on, list.entries.len()), (next, 3));
        assert!(list.check().is_ok() && list.is_complete());
    }
}

#[test]
fn repeated_pages_end_a_list_if_its_count_matches() {
    let names = Names::default();
    let pages = |count| {
        let mut last = page(vec![raw(3, "c")], count, None);
        last.leads_back = true;
        vec![page(vec![raw(1, "a"), raw(2, "b")], count, Some(2)), last]
    };
    assert!(list(&names, pages(Some(3))).is_ok());
    let fault = |count| match list(&names, pages(count)).map(|_| ()) {
        Err(Fault::UpstreamDown { kind, .. }) => kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(None), Down::TooLarge);
    assert_eq!(fault(Some(9)), Down::Incomplete);
}

#[test]
fn unreadable_rows_of_pages_that_begin_again_are_not_counted_twice() {
    let names = Names::default();
    let rows = || (0..30).map(|id| raw(id, "a")).chain([bad()]).collect();
    let pages = vec![
        page(rows(), Some(31), Some(2)),
        page(rows(), Some(31), Some(3)),
    ];
    let list = list(&names, pages).unwrap();
    assert_eq!(
        (list.entries.len(), list.skipped, list.gap()),
        (30, 1, None)
    );
}

#[test]
fn one_row_in_ten_may_be_bad_and_is_counted() {
    let rows = |good: u64, bads: usize| {
        let mut rows: Vec<_> = (0..good).map(|id| raw(id, "q")).collect();
        rows.extend((0..bads).map(|_| bad()));
        rows
    };
    for (good, bads, readable) in [
        (9, 1, true),
        (8, 1, false),
        (0, 1, false),
        (18, 2, true),
        (18, 3, false),
    ] {
        let list = join(rows(good, bads), Some(good + bads as u64));
        assert_eq!(list.is_ok(), readable, "{good} good, {bads} bad");
        if let Ok(list) = list {
            assert!(list.gap().is_none() && !list.is_complete());
            assert_eq!(list.skipped, bads);
        }
    }
    let fault = join(rows(0, 2), None).map(|_| ()).unwrap_err().to_string();
    assert_eq!(fault, "2 of 2 rows cannot be read: an entry has no id");
}
