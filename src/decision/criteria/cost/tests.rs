use serde_json::json;

use super::*;
use crate::decision::criteria::scan::Outline;

fn query(path: &str) -> Query {
    let text: Vec<char> = path.chars().collect();
    let outline = Outline::scan(path).expect(path);
    Query::read(&text, outline.chars()).expect(path).0
}

fn response(rows: usize) -> Value {
    let row = json!({
        "app_user": "6f1c0b52", "full_name": "Ann", "status": "Available", "queue_logged_in": true, "tags": ["a", "b"],
        "a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7, "h": 8, "i": 9, "j": 10, "k": null, "l": {"m": 1}
    });
    json!({"count": rows, "next": null, "results": vec![row; rows]})
}

fn steps(path: &str, rows: usize) -> u64 {
    query(path).steps(&Shape::new(&response(rows)))
}

#[test]
fn paths_that_people_write_are_cheap_over_thousands_of_rows() {
    for path in [
        "count",
        "*",
        "*[*].status",
        "results[*].status",
        "$.results[?@.status == 'Available' && @.queue_logged_in == true]",
        "results[?(@.status=='Available')].live_calls_count",
        "$.results[?@.tags[?@ == 'b']]",
        "$.results[?count(@.tags[*]) > 1]",
        "$.results[?match(@.status, '\\\\w+')]",
        "$.results[?search(@['full_name'], 'A') || length(@.full_name) > 4]",
        "$.results[?@.a == @.b]",
        "$..status",
        "$..[?@.status == 'Available']",
    ] {
        let steps = steps(path, 5_000);
        assert!(steps < MAX_STEPS, "{path}: {steps}");
    }
    for path in [
        "$.results[?@.status == 'Available' && @.queue_logged_in == true]",
        "results[?(@.status=='Available')].live_calls_count",
        "$.results[?match(@.status, 'Avail.*')]",
        "$.results[?@.a == @.b]",
    ] {
        let steps = steps(path, 10_000);
        assert!(steps < MAX_STEPS / 4, "{path}: {steps}");
    }
    // Compares a list with itself, while it is short.
    assert!(
        steps(
            "$.results[?count($.results[?@.status == 'Lunch']) > 3]",
            250
        ) < MAX_STEPS
    );
}

#[test]
fn paths_whose_cost_multiplies_exceed_the_limit() {
    for path in [
        "$.results[?count($.results[?count($.results[?count($.results[?@.a == 1]) > 0]) > 0]) > 0]",
        "$.results[?$.results[?$.results[?$.results[?@.a == 1]]]]",
        "$[?count(@[?count($[?count(@[?@.a == 1]) > 0]) > 0]) > 0]",
        "$..[?count($..[?@.a == 1]) > 0]",
        "$.results[?count($..*) > 0]",
        "$..[?$ == @]",
        "$.results[?@ == $.results]",
        "$.results[?count($['results', 'results', 'results'][*]) > 1]",
        "$.results[?value($..[?@ == 'x']) == 1]",
        "$.results[ ? ( ! ( $ .results [ ? $ .results [*] ] ) ) ]",
    ] {
        let steps = steps(path, 1_000);
        assert!(steps > MAX_STEPS, "{path}: {steps}");
    }
}

#[test]
fn a_path_never_selects_more_nodes_than_its_estimated_steps() {
    let response = response(20);
    let shape = Shape::new(&response);
    for path in [
        "$",
        "$..*",
        "$..*..*",
        "$..[*, *, *]..[0, *]",
        "$..[?@..*].*",
        "$.results[*, 0:5, ?@.a]['a', 'tags', 'l'][*]",
        "$.results..[?$..a]",
    ] {
        let parsed = serde_json_path::JsonPath::parse(path).expect(path);
        let nodes = parsed.query(&response).len() as u64;
        let steps = query(path).steps(&shape);
        assert!(nodes <= steps, "{path}: {nodes} nodes, {steps} steps");
    }
}

#[test]
fn long_text_costs_more_than_short_text() {
    let text = |length| json!({"results": vec![json!({"a": "x".repeat(length)}); 200]});
    for path in [
        "$.results[?match(@.a, 'x*')]",
        "$.results[?length(@.a) > 1]",
        "$.results[?@.a == $.results[0].a]",
    ] {
        let steps = |length| query(path).steps(&Shape::new(&text(length)));
        assert!(steps(1_000_000) > MAX_STEPS, "{path}");
        assert!(steps(100) < MAX_STEPS / 100, "{path}");
    }
}
