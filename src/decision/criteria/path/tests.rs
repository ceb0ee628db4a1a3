use proptest::prelude::*;
use serde_json::json;

use super::*;

fn error(path: &str) -> String {
    Path::parse(path).expect_err(path)
}

#[test]
fn short_spellings_begin_at_the_response() {
    let response = json!({"count": 1, "results": [{"status": "Available"}]});
    for (path, expected) in [
        ("count", json!(1)),
        (" $.count\n", json!(1)),
        ("['count']", json!(1)),
        (".count", json!(1)),
        ("..status", json!("Available")),
        ("results[0].status", json!("Available")),
        (
            "results[?(@.status=='Available')].status",
            json!("Available"),
        ),
        (
            "$.results[?@.status == \"Available\"].status",
            json!("Available"),
        ),
    ] {
        let parsed = Path::parse(path).expect(path);
        assert_eq!(parsed.nodes(&response), Ok(vec![&expected]), "{path}");
    }
}

#[test]
fn fields_that_a_path_reads_are_distinguished_from_text_it_compares_with() {
    let renewal = |path: &str| Path::parse(path).expect(path).renewal();
    for path in [
        "results[?(@.status=='Available')]",
        "results[?(@.status=='Available' && @.queue_logged_in==true)]",
        "$.results[?@['status'] == 'skills']",
        "$.results[?match(@.status, 'Avail.*')]",
        "$['results'][*].status",
        "$..status",
    ] {
        assert_eq!(renewal(path), Renewal::Statuses, "{path}");
    }
    for path in [
        "results[*].ready",
        "$.results[?@.status == 'Available' && @.live_calls_count == 0]",
        "$.results[?@.status == 'Available' && @.queue_logged_in == true && @.web_phone_status == 'ok']",
    ] {
        assert_eq!(renewal(path), Renewal::Rows, "{path}");
    }
    for path in [
        "count",
        "$.results",
        "results[*]",
        "results[*].queue_logged_in",
        "results[*].skills",
        "results[?(@.skills=='status')]",
        "$.results[?@['skills'] == @.status]",
        "$.results[*]['status','skills']",
        "$.results[*].*",
        "$..*",
    ] {
        assert_eq!(renewal(path), Renewal::Polls, "{path}");
    }
}

#[test]
fn only_names_and_indices_select_a_single_node() {
    for (path, expected) in [
        ("count", true),
        ("$", true),
        ("results[0]['status']", true),
        ("results[-1]", true),
        ("results[*]", false),
        ("results[0:1]", false),
        ("results[0, 1]", false),
        ("..count", false),
        ("results[?@.status == 'Available']", false),
    ] {
        let parsed = Path::parse(path).expect(path);
        assert_eq!(parsed.names_one_node(), expected, "{path}");
    }
}

#[test]
fn common_mistakes_get_a_hint() {
    for (path, expected) in [
        (
            "results[?(@.status = 'Available')]",
            "at character 20, there is no `=`: write ==",
        ),
        (
            "results[?@.status === 'Available']",
            "at character 19, there is no `===`: write ==",
        ),
        (
            "results[?@.status <> 'Available']",
            "at character 19, there is no `<>`: write !=",
        ),
        (
            "results[?@.a == 1 & @.b]",
            "at character 19, there is no `&`: write &&",
        ),
        (
            "results[?@.a == 1 | !@.b]",
            "at character 19, there is no `|`: write ||",
        ),
        (
            "results[?@.a == 1 AND @.b]",
            "at character 19, there is no `AND`: write &&",
        ),
        (
            "results[?@.a == 1 or @.b]",
            "at character 19, there is no `or`: write ||",
        ),
        (
            "results[?not @.a]",
            "at character 10, there is no `not`: write !",
        ),
        (
            "results[?@.status == Available]",
            "at character 22, text wants quotes: write 'Available'",
        ),
        (
            "results[?@.status == Not Available and @.a]",
            "at character 22, text wants quotes: write 'Not Available'",
        ),
        (
            "results[?@.a == True]",
            "at character 17, `True` is written true",
        ),
        (
            "results[?@.status == ‘Available’]",
            "at character 22, `‘` is no quote that JSONPath knows: write a straight '",
        ),
        (
            "results[?status == 'Available']",
            "at character 10, a field of the row is written @.status",
        ),
        (
            "results[status == 'Available']",
            "at character 9, a filter begins with a question mark and @: write [?@.status … ]",
        ),
        (
            "results[(@.status == 'Available')]",
            "at character 8, a filter begins with a question mark: write [?(…)]",
        ),
        (
            "results[status]",
            "at character 9, a name in brackets wants quotes: write 'status'",
        ),
        (
            "results[]",
            "at character 8, the brackets are empty: write [*] for every row",
        ),
        (
            "results.[*]",
            "at character 8, there is no point in front of a bracket: write results[*], not results.[*]",
        ),
        (
            "results[?@status]",
            "at character 11, a field of the row is written @.status",
        ),
        (
            "@.status",
            "at character 1, `@` is a row inside a filter: outside, a path begins with $ or a name",
        ),
        (
            "some-name",
            "at character 5, a name with `-` in it goes into brackets and quotes: write ['some-name']",
        ),
        (
            "results[?contains(@.status, 'A')]",
            "at character 10, there is no function `contains`: there are length, count, match, search, value",
        ),
        (
            "results[?(@.status == 'Available')",
            "the bracket at character 8 is never closed: a `]` is missing",
        ),
    ] {
        assert_eq!(error(path), expected, "{path}");
    }
}

#[test]
fn other_mistakes_are_reported_with_their_position() {
    for (path, expected) in [
        (
            "",
            "the path is empty: write \"count\" for the number of rows",
        ),
        (
            "results.",
            "the path ends too early, at character 8: a name or a bracket must follow",
        ),
        (
            "  results[01]",
            "from character 12 on, `1]` cannot be read as JSONPath: expected closing ']'",
        ),
        (
            "$.results[01]",
            "from character 12 on, `1]` cannot be read as JSONPath: expected closing ']'",
        ),
        (
            "é é",
            "from character 2 on, ` é` cannot be read as JSONPath",
        ),
        (
            "results[?length(@.status)]",
            "from character 10 on, `length(@.status)]` cannot be read as JSONPath: function with incorrect return type used",
        ),
    ] {
        assert_eq!(error(path), expected, "{path}");
    }
}

#[test]
fn a_path_that_ends_inside_an_escape_is_an_error() {
    // The parser panics on these.
    for path in [r"['\u", r"['\uD83D\u", r#"results[?@.a == "\uD83D\uD"#] {
        error(path);
    }
}

#[test]
fn quoted_words_and_names_are_not_mistaken_for_operators() {
    for path in [
        "results[?@.status == 'and = &']",
        "and.or.not",
        "$.results[?@.and]",
    ] {
        Path::parse(path).expect(path);
    }
}

/// Pieces of paths, so that random combinations come close to a valid path.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop::sample::select(vec![
        "$", "@", ".", "..", "[", "]", "(", ")", "?", "*", ":", ",", "'", "\"", "\\", "\\u",
        "D83D", "!", "==", "=", "<", "&&", "||", "and", "results", "count", "length(", "match(",
        "-", "0", "1e9", "true", " ", "é", "’",
    ]);
    prop::collection::vec(scrap, 0..60).prop_map(|scraps| scraps.concat())
}

proptest! {
    #[test]
    fn parsing_never_panics_on_any_text(path in "\\PC{0,300}") {
        let _ = Path::parse(&path);
    }

    #[test]
    fn parsing_never_panics_on_near_paths(path in scraps()) {
        if let Err(message) = Path::parse(&path) {
            prop_assert!(message.len() < 400, "{}", message);
            prop_assert!(!message.contains("cannot tell what"), "{path}: {message}");
        }
    }

    #[test]
    fn parsing_never_panics_on_deep_nesting(
        open in prop::sample::select(vec!["(", "[", "[?", "[?(", "[?!(", "[?@[?", "[?count(@[?", "..", "!", "['"]),
        close in prop::sample::select(vec![")", "]", ")]", "])]", "", "']"]),
        times in 0_usize..5000,
    ) {
        let _ = Path::parse(&format!("{}{}", open.repeat(times), close.repeat(times)));
    }
}
