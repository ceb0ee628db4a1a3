use serde_json::json;

use super::*;
use crate::model::names::Names;

/// A list of agents with these ids, each changed this many minutes before ten.
fn list(agents: &[(u32, u32)]) -> List {
    let row = |(id, minutes): &(u32, u32)| {
        json!({
            "app_user": id, "agent_status": 1, "logged_in": true,
            "agent_status_modified_on": format!("2026-11-22T09:{:02}:00Z", 60 - minutes),
        })
    };
    let rows: Vec<_> = agents.iter().map(row).collect();
    let mut body = json!({ "count": rows.len(), "next": null, "results": rows });
    List::take(&mut body, &Names::default()).expect("a list")
}

/// Agents in the order of their ids, with dates in no order.
fn usual() -> Vec<(u32, u32)> {
    (0..20).map(|id| (id, 1 + id * 7 % 20)).collect()
}

fn sorted_by(key: impl Fn(&(u32, u32)) -> u32) -> Vec<(u32, u32)> {
    let mut agents = usual();
    agents.sort_by_key(key);
    agents
}

#[test]
fn a_lists_order_is_recognized_even_if_an_agent_was_added_meanwhile() {
    let usual = list(&usual());
    let judged = |agents: &[(u32, u32)]| ordering(&list(agents), Some(&usual));
    assert_eq!(
        judged(&sorted_by(|(_, minutes)| *minutes)),
        Some(Ordering::NewestFirst)
    );
    assert_eq!(
        judged(&sorted_by(|(_, minutes)| 60 - minutes)),
        Some(Ordering::OldestFirst)
    );
    assert_eq!(
        judged(&sorted_by(|(id, _)| id * 13 % 20)),
        Some(Ordering::Unsorted)
    );
    let mut came = self::usual();
    assert_eq!(judged(&came), Some(Ordering::Ignored));
    came.insert(0, (99, 1));
    came.remove(7);
    assert_eq!(judged(&came), Some(Ordering::Ignored));
}

#[test]
fn few_dates_and_equal_dates_prove_nothing() {
    let three = list(&[(1, 1), (2, 2), (3, 3)]);
    assert_eq!(ordering(&three, Some(&three)), None);
    let alike = list(&[(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (6, 5)]);
    assert_eq!(ordering(&alike, None), None);
    assert_eq!(ordering(&list(&[]), Some(&three)), None);
    // An order that differs from the usual one proves that the list is sorted, however few agents there are.
    let turned = list(&[(3, 3), (2, 2), (1, 1)]);
    assert_eq!(ordering(&three, Some(&turned)), Some(Ordering::NewestFirst));
}
