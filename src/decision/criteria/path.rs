//! The path of a rule: which nodes of the response it looks at.

use std::fmt;

use serde_json::Value;
use serde_json_path::{JsonPath, ParseError};

use super::{
    Mismatch,
    cost::{Cost, MOST_STEPS, Shape},
    outline::Outline,
    slips,
};

/// An RFC 9535 JSONPath, or the hosted integration's short spelling of one, parsed.
#[derive(Debug)]
pub(super) struct Path {
    /// As the operator wrote it.
    written: String,
    query: JsonPath,
    cost: Cost,
    names_one_node: bool,
}

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    /// A sentence on what is wrong, at which character, and where it is a common slip, what to write.
    pub(super) fn parse(field: &str) -> Result<Self, String> {
        let outline = Outline::of(field)?;
        let written = field.trim();
        if written.is_empty() {
            return Err("the path is empty: write \"count\" for the number of rows".to_owned());
        }
        let path = format!("{}{written}", missing_root(written));
        JsonPath::parse(&path).map_err(|error| {
            slips::first(&outline).unwrap_or_else(|| unreadable(field, &path, &error))
        })?;
        let before = field.chars().take_while(|c| c.is_whitespace()).count();
        let characters: Vec<char> = written.chars().collect();
        let outline = &outline.chars()[before..before + characters.len()];
        let cost = Cost::of(&characters, outline)?;
        let query = format!("{}{}", missing_root(written), cost.rewritten);
        let query = JsonPath::parse(&query).map_err(|error| unreadable(field, &query, &error))?;
        Ok(Self {
            names_one_node: is_singular(&path),
            query,
            cost,
            written: written.to_owned(),
        })
    }

    /// Whether the path consists of names and indices only, so that it selects one node or none.
    pub(super) fn names_one_node(&self) -> bool {
        self.names_one_node
    }

    /// Whether all that the path reads of a row is what [any list of agents](SHARED_FIELDS) tells of it, and the queue's
    /// membership; and not the membership alone.
    pub(super) fn reads_only_shared_fields(&self) -> bool {
        let names = names(&self.written);
        let known = |name: &&str| SHARED_FIELDS.contains(name) || MEMBERSHIP_FIELDS.contains(name);
        !reads_all_fields(&self.written)
            && names.iter().all(known)
            && names.iter().any(|name| SHARED_FIELDS.contains(name))
    }

    /// The nodes of a response that the path selects.
    ///
    /// # Errors
    /// Finding them could take so long that others would wait for it.
    pub(super) fn nodes<'a>(&self, response: &'a Value) -> Result<Vec<&'a Value>, Mismatch> {
        let steps = self.cost.steps(&Shape::of(response));
        if steps > MOST_STEPS {
            return Err(Mismatch(format!(
                "{self} could take {steps} steps over a response of this length, and the most is {MOST_STEPS}: \
                 nest fewer filters, and use `$` and `..` inside of a filter only where it has few rows to look at"
            )));
        }
        Ok(self.query.query(response).all())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.written)
    }
}

/// Fields of a row that are one fact about an agent, the same in every list.
const SHARED_FIELDS: [&str; 14] = [
    "agent_status",
    "agent_status_modified_on",
    "app_user",
    "campaign",
    "campaign_name",
    "full_name",
    "live_calls_count",
    "live_inbound_calls_count",
    "logged_in",
    "logged_in_since",
    "ready",
    "ready_since",
    "status",
    "web_phone_status",
];

/// What tells who belongs to the queue.
const MEMBERSHIP_FIELDS: [&str; 3] = ["count", "queue_logged_in", "results"];

/// The names in a path that parses: after a dot or a bracket, and at its beginning. A text that is compared with is no name.
fn names(path: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || !c.is_ascii();
    let mut names = Vec::new();
    let mut before = '.'; // A short spelling begins with a name.
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        if first == '\'' || first == '"' {
            let quoted = &rest[1..];
            let end = end_of_quoted(quoted, first);
            let after = quoted.get(end + 1..).unwrap_or_default();
            let selects = matches!(after.trim_start().chars().next(), Some(']' | ','));
            if matches!(before, '[' | ',') && selects {
                names.push(&quoted[..end]);
            }
            (rest, before) = (after, first);
            continue;
        }
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        if length > 0 {
            if before == '.' {
                names.push(&rest[..length]);
            }
            (rest, before) = (&rest[length..], 'a');
            continue;
        }
        if !first.is_whitespace() {
            before = first;
        }
        rest = &rest[first.len_utf8()..];
    }
    names
}

/// Where the quoted text at the beginning of `text` ends.
fn end_of_quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at,
            _ => {}
        }
    }
    text.len()
}

/// A wildcard other than the one that names every row reads every field.
fn reads_all_fields(path: &str) -> bool {
    let bare: String = without_texts(path).split_whitespace().collect();
    let of_rows = ["results[*]", "results.*", "[results][*]"].iter();
    let of_rows = of_rows.filter(|rows| bare.contains(**rows)).count();
    bare.matches('*').count() > of_rows.min(1)
}

/// The path with its quoted texts left out, save for the name of the rows.
fn without_texts(path: &str) -> String {
    let mut bare = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find(['\'', '"']) {
        let quote = rest[at..].chars().next().unwrap_or_default();
        let quoted = &rest[at + 1..];
        let end = end_of_quoted(quoted, quote);
        bare += &rest[..at];
        bare += if &quoted[..end] == "results" {
            "results"
        } else {
            ""
        };
        rest = quoted.get(end + 1..).unwrap_or_default();
    }
    bare + rest
}

/// What the hosted integration leaves out: there, `count` and `results[*].x` begin at the response without saying so.
fn missing_root(written: &str) -> &'static str {
    match written.chars().next() {
        Some('$') => "",
        Some('[' | '.') => "$",
        _ => "$.",
    }
}

/// Asks the parser: RFC 9535 allows only singular queries beside a comparison operator.
fn is_singular(path: &str) -> bool {
    JsonPath::parse(&format!("$[?{path} == 0]")).is_ok()
}

/// What the parser says, in terms of the characters that the operator wrote.
fn unreadable(field: &str, path: &str, error: &ParseError) -> String {
    let rest = path.get(error.position()..).unwrap_or_default();
    // Counted from the end, since only the beginning of the path differs from what was written.
    let end = field.trim_end().chars().count();
    let before = end.saturating_sub(rest.chars().count());
    if rest.is_empty() {
        return format!(
            "the path ends too early, at character {end}: a name or a bracket must follow"
        );
    }
    let excerpt = shortened(rest, 24);
    // The parser's own words, where it has any.
    let why = match error.message().rsplit_once(", ") {
        _ if error.message().ends_with("parser error") => String::new(),
        Some((_, why)) => format!(": {why}"),
        None => format!(": {}", error.message()),
    };
    format!(
        "from character {} on, `{excerpt}` cannot be read as JSONPath{why}",
        before + 1
    )
}

/// The first `most` characters of a text, with `…` where that is not all.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
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
    fn the_fields_that_a_path_reads_are_told_from_the_texts_it_compares_with() {
        let shared = |path: &str| Path::parse(path).expect(path).reads_only_shared_fields();
        for path in [
            "results[?(@.status=='Available')]",
            "results[?(@.status=='Available' && @.queue_logged_in==true)]",
            "$.results[?@['status'] == 'skills']",
            "$.results[?match(@.status, 'Avail.*')]",
            "$['results'][*].status",
            "$..status",
            "results[*].ready",
        ] {
            assert!(shared(path), "{path}");
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
            assert!(!shared(path), "{path}");
        }
    }

    #[test]
    fn only_names_and_indices_name_one_node() {
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
    fn common_slips_are_told_what_to_write() {
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
    fn other_mistakes_are_told_where_they_are() {
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
    fn words_in_quotes_and_names_are_no_slips() {
        for path in [
            "results[?@.status == 'and = &']",
            "and.or.not",
            "$.results[?@.and]",
        ] {
            Path::parse(path).expect(path);
        }
    }

    /// What paths are made of, so that random ones come close to being one.
    fn scraps() -> impl Strategy<Value = String> {
        let scrap = prop::sample::select(vec![
            "$", "@", ".", "..", "[", "]", "(", ")", "?", "*", ":", ",", "'", "\"", "\\", "\\u",
            "D83D", "!", "==", "=", "<", "&&", "||", "and", "results", "count", "length(",
            "match(", "-", "0", "1e9", "true", " ", "é", "’",
        ]);
        prop::collection::vec(scrap, 0..60).prop_map(|scraps| scraps.concat())
    }

    proptest! {
        #[test]
        fn parsing_survives_any_text(path in "\\PC{0,300}") {
            let _ = Path::parse(&path);
        }

        #[test]
        fn parsing_survives_near_paths(path in scraps()) {
            if let Err(message) = Path::parse(&path) {
                prop_assert!(message.len() < 400, "{}", message);
                prop_assert!(!message.contains("cannot tell what"), "{path}: {message}");
            }
        }

        #[test]
        fn parsing_survives_depth(
            open in prop::sample::select(vec!["(", "[", "[?", "[?(", "[?!(", "[?@[?", "[?count(@[?", "..", "!", "['"]),
            close in prop::sample::select(vec![")", "]", ")]", "])]", "", "']"]),
            times in 0_usize..5000,
        ) {
            let _ = Path::parse(&format!("{}{}", open.repeat(times), close.repeat(times)));
        }
    }
}
