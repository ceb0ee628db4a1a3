//! What evaluating a path costs, known before it is evaluated.
//!
//! The evaluator cannot be stopped: nested filters over a few hundred rows would keep it busy for minutes. So the structure of a path is read
//! here, and the [`Shape`] of a response says how often each part of it can run. The estimate is never too low: it assumes that every filter runs
//! to its end, although evaluation often stops early. Paths that people write stay far below [`MOST_STEPS`], even over ten thousand rows.

use serde_json::Value;

use super::functions;

/// A step is a node looked at: some 100 ns. So one evaluation takes 0.2 s at most, of a thread that other accounts wait for, too.
pub(super) const MOST_STEPS: u64 = 2_000_000;

/// Responses are no deeper: the JSON parser refuses more.
const DEEPEST: usize = 128;

/// Characters that are read in the time of a step: a comparison or a pattern takes 1 to 2 ns for each.
const CHARACTERS: usize = 64;

/// What a match costs beside its text, in steps: finding the pattern that was compiled before.
const MATCH: u64 = 8;

/// A query inside of a path, or the path.
#[derive(Debug, Default, PartialEq)]
struct Query {
    from_root: bool,
    segments: Vec<Segment>,
}

/// `.name`, `[…]`, `..name` or `..[…]`.
#[derive(Debug, PartialEq)]
struct Segment {
    descends: bool,
    selectors: Vec<Selector>,
}

#[derive(Debug, PartialEq)]
enum Selector {
    /// A name or an index.
    One,
    /// A wildcard or a slice.
    Many,
    Filter(Filter),
}

/// What a filter evaluates for each of its candidates.
#[derive(Debug, Default, PartialEq)]
struct Filter {
    queries: Vec<Query>,
    functions: u64,
    matches: u64,
}

/// The structure of a path, as far as it costs.
#[derive(Debug)]
pub(super) struct Cost {
    path: Query,
    /// The path with functions of ours in place of those that compile their pattern for each row.
    pub(super) rewritten: String,
}

impl Cost {
    /// Reads a path that the parser takes: `text` as it is written, `outline` with its quoted texts blotted out.
    ///
    /// # Errors
    /// A sentence on a pattern that cannot be used.
    pub(super) fn of(text: &[char], outline: &[char]) -> Result<Self, String> {
        let mut reader = Reader {
            text,
            outline,
            at: 0,
            rewritten: String::new(),
            copied: 0,
        };
        if reader.peek() == Some('$') {
            reader.at += 1;
        }
        let path = Query {
            from_root: true,
            segments: reader.segments()?,
        };
        reader.skip(char::is_whitespace);
        if reader.peek().is_some() {
            return Err(reader.lost());
        }
        reader.rewritten.extend(&text[reader.copied..]);
        Ok(Self {
            path,
            rewritten: reader.rewritten,
        })
    }

    /// How many steps an evaluation over such a response takes at most.
    pub(super) fn steps(&self, shape: &Shape) -> u64 {
        let root = Place {
            depth: 0,
            exact: true,
        };
        self.path.run(root, shape).steps
    }
}

struct Reader<'a> {
    text: &'a [char],
    outline: &'a [char],
    at: usize,
    rewritten: String,
    /// So many characters of the text stand in `rewritten`.
    copied: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.outline.get(self.at).copied()
    }

    fn skip(&mut self, what: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&what) {
            self.at += 1;
        }
    }

    fn segments(&mut self) -> Result<Vec<Segment>, String> {
        let mut segments = Vec::new();
        loop {
            let begin = self.at;
            self.skip(char::is_whitespace);
            let dots = self.outline[self.at..]
                .iter()
                .take(2)
                .take_while(|c| **c == '.');
            let dots = dots.count();
            self.at += dots;
            let selectors = match self.peek() {
                Some('[') => self.selectors()?,
                Some('*') if dots > 0 || begin == 0 => {
                    self.at += 1;
                    vec![Selector::Many]
                }
                // The short spelling of a path begins with a name or a star.
                Some(c) if is_name(c) && (dots > 0 || begin == 0) => {
                    self.skip(is_name);
                    vec![Selector::One]
                }
                _ => {
                    self.at = begin;
                    return Ok(segments);
                }
            };
            segments.push(Segment {
                descends: dots == 2,
                selectors,
            });
        }
    }

    /// The parser takes what this reader does not know: then the cost is not known either.
    fn lost(&self) -> String {
        let at = self.at + 1;
        format!(
            "from character {at} on, openseat cannot tell what the path costs: write it in a simpler way"
        )
    }

    /// What stands between brackets.
    fn selectors(&mut self) -> Result<Vec<Selector>, String> {
        let mut selectors = Vec::new();
        self.at += 1;
        loop {
            self.skip(char::is_whitespace);
            let selector = match self.peek() {
                Some('?') => {
                    self.at += 1;
                    Selector::Filter(self.filter()?)
                }
                _ => {
                    let begin = self.at;
                    self.skip(|c| c != ',' && c != ']');
                    let written = &self.outline[begin..self.at];
                    match written.iter().any(|c| matches!(c, '*' | ':')) {
                        true => Selector::Many,
                        false => Selector::One,
                    }
                }
            };
            selectors.push(selector);
            self.at += 1;
            if matches!(self.outline.get(self.at - 1), Some(']') | None) {
                return Ok(selectors);
            }
        }
    }

    /// Up to the comma or bracket that ends it.
    fn filter(&mut self) -> Result<Filter, String> {
        let mut filter = Filter::default();
        let mut open = 0;
        while let Some(character) = self.peek() {
            match character {
                '@' | '$' => {
                    self.at += 1;
                    filter.queries.push(Query {
                        from_root: character == '$',
                        segments: self.segments()?,
                    });
                    continue;
                }
                c if is_name(c) => {
                    self.word(&mut filter)?;
                    continue;
                }
                // Only a query has brackets, and it ends behind them.
                '[' => return Err(self.lost()),
                ']' => break,
                ',' if open == 0 => break,
                '(' => open += 1,
                ')' => open -= 1,
                _ => {}
            }
            self.at += 1;
        }
        Ok(filter)
    }

    /// A constant or a function's name. Functions with a pattern get another name and their pattern is tried.
    fn word(&mut self, filter: &mut Filter) -> Result<(), String> {
        let begin = self.at;
        self.skip(is_name);
        if self.peek() != Some('(') {
            return Ok(());
        }
        filter.functions += 1;
        let name: String = self.outline[begin..self.at].iter().collect();
        if let Some(own) = functions::own(&name)? {
            filter.matches += 1;
            self.rewritten.extend(&self.text[self.copied..begin]);
            self.rewritten += own;
            self.copied = self.at;
            functions::check_pattern(&name, self.second_argument())?;
        }
        Ok(())
    }

    /// The text from the comma after the first argument up to the end of the call.
    fn second_argument(&self) -> &[char] {
        let mut open = 0;
        let mut begin = None;
        for at in self.at..self.outline.len() {
            match self.outline[at] {
                '(' | '[' => open += 1,
                ')' | ']' => open -= 1,
                ',' if open == 1 && begin.is_none() => begin = Some(at + 1),
                _ => {}
            }
            if open == 0 {
                return &self.text[begin.unwrap_or(at)..at];
            }
        }
        &[]
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || !c.is_ascii()
}

/// How large a response is, at each depth. The response itself is at depth 0.
#[derive(Debug)]
pub(super) struct Shape {
    /// The most children that a node has.
    widths: Vec<u64>,
    /// The most that hangs below a node, itself and its text included.
    sizes: Vec<u64>,
    /// The longest text, in steps.
    longest: u64,
}

impl Shape {
    pub(super) fn of(response: &Value) -> Self {
        let mut shape = Self {
            widths: Vec::new(),
            sizes: Vec::new(),
            longest: 1,
        };
        shape.measure(response, 0);
        shape
    }

    fn measure(&mut self, value: &Value, depth: usize) -> u64 {
        if self.sizes.len() == depth {
            self.sizes.push(0);
            self.widths.push(0);
        }
        let (children, below) = match value {
            Value::Array(items) => {
                let below = items.iter().map(|item| self.measure(item, depth + 1)).sum();
                (items.len(), below)
            }
            Value::Object(fields) => {
                let below = fields
                    .values()
                    .map(|field| self.measure(field, depth + 1))
                    .sum();
                (fields.len(), below)
            }
            Value::String(text) => {
                let steps = (text.len() / CHARACTERS) as u64;
                self.longest = self.longest.max(steps);
                (0, steps)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => (0, 0),
        };
        let size: u64 = 1 + below;
        self.sizes[depth] = self.sizes[depth].max(size);
        self.widths[depth] = self.widths[depth].max(children as u64);
        size
    }

    fn width(&self, place: Place) -> u64 {
        place.most(&self.widths)
    }

    fn size(&self, place: Place) -> u64 {
        place.most(&self.sizes)
    }

    /// How many levels hang below a node.
    fn levels(&self, place: Place) -> u64 {
        self.sizes.len().saturating_sub(place.depth).max(1) as u64
    }
}

/// Where nodes are: at this depth, or at this depth and below.
#[derive(Clone, Copy, Debug)]
struct Place {
    depth: usize,
    exact: bool,
}

impl Place {
    fn most(self, values: &[u64]) -> u64 {
        let from = values.get(self.depth..).unwrap_or_default();
        let looked_at = if self.exact { 1 } else { from.len() };
        from.iter().take(looked_at).copied().max().unwrap_or(0)
    }

    fn children(self) -> Self {
        Self {
            depth: (self.depth + 1).min(DEEPEST),
            ..self
        }
    }
}

/// What came of a query: at most so many steps and so many nodes.
struct Run {
    steps: u64,
    place: Place,
    singular: bool,
}

impl Query {
    /// Evaluates the query once, from one node.
    fn run(&self, current: Place, shape: &Shape) -> Run {
        let mut place = match self.from_root {
            true => Place {
                depth: 0,
                exact: true,
            },
            false => current,
        };
        // All nodes that can be reached, and how often each can be selected.
        let (whole, mut times) = (shape.size(place), 1_u64);
        let (mut nodes, mut steps, mut singular) = (1_u64, 1_u64, true);
        for segment in &self.segments {
            if segment.descends {
                // Below nodes of several depths the same node hangs several times.
                let nested = if place.exact { 1 } else { shape.levels(place) };
                times = times.saturating_mul(nested);
                nodes = nodes
                    .saturating_mul(shape.size(place))
                    .min(whole.saturating_mul(times));
                // What is found is handed up level by level.
                steps = steps.saturating_add(nodes.saturating_mul(shape.levels(place)));
                place.exact = false;
            }
            singular &= !segment.descends && segment.selectors == [Selector::One];
            times = times.saturating_mul(segment.selectors.len() as u64);
            let most = whole.saturating_mul(times);
            let children = match segment.descends {
                true => nodes,
                false => nodes.saturating_mul(shape.width(place)).min(most),
            };
            let mut found = 0_u64;
            for selector in &segment.selectors {
                let (candidates, each) = match selector {
                    Selector::One => (nodes, 1),
                    Selector::Many => (children, 1),
                    Selector::Filter(filter) => (children, filter.steps(place.children(), shape)),
                };
                found = found.saturating_add(candidates);
                steps = steps
                    .saturating_add(nodes)
                    .saturating_add(candidates.saturating_mul(each));
            }
            nodes = found.min(most);
            place = place.children();
        }
        Run {
            steps,
            place,
            singular,
        }
    }
}

impl Filter {
    /// Evaluates the filter once, for one candidate.
    fn steps(&self, candidate: Place, shape: &Shape) -> u64 {
        let of_text = self.matches.saturating_mul(shape.longest + MATCH);
        let mut steps = 1_u64.saturating_add(of_text);
        // Two nodes are compared with all that hangs below them, and a function may read all of a text.
        let compares = self.queries.len() > 1 || self.functions > 0;
        for query in &self.queries {
            let run = query.run(candidate, shape);
            steps = steps.saturating_add(run.steps);
            if compares && run.singular {
                steps = steps.saturating_add(shape.size(run.place));
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decision::criteria::outline::Outline;

    fn cost(path: &str) -> Cost {
        let text: Vec<char> = path.chars().collect();
        let outline = Outline::of(path).expect(path);
        Cost::of(&text, outline.chars()).expect(path)
    }

    fn response(rows: usize) -> Value {
        let row = json!({
            "app_user": "6f1c0b52", "full_name": "Ann", "status": "Available", "queue_logged_in": true, "tags": ["a", "b"],
            "a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7, "h": 8, "i": 9, "j": 10, "k": null, "l": {"m": 1}
        });
        json!({"count": rows, "next": null, "results": vec![row; rows]})
    }

    fn steps(path: &str, rows: usize) -> u64 {
        cost(path).steps(&Shape::of(&response(rows)))
    }

    #[test]
    fn what_people_write_is_cheap_over_thousands_of_rows() {
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
            assert!(steps < MOST_STEPS, "{path}: {steps}");
        }
        for path in [
            "$.results[?@.status == 'Available' && @.queue_logged_in == true]",
            "results[?(@.status=='Available')].live_calls_count",
            "$.results[?match(@.status, 'Avail.*')]",
            "$.results[?@.a == @.b]",
        ] {
            let steps = steps(path, 10_000);
            assert!(steps < MOST_STEPS / 4, "{path}: {steps}");
        }
        // A list with itself, while it is short.
        assert!(
            steps(
                "$.results[?count($.results[?@.status == 'Lunch']) > 3]",
                250
            ) < MOST_STEPS
        );
    }

    #[test]
    fn what_multiplies_is_seen_to() {
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
            assert!(steps > MOST_STEPS, "{path}: {steps}");
        }
    }

    #[test]
    fn no_path_selects_more_nodes_than_it_costs_steps() {
        let response = response(20);
        let shape = Shape::of(&response);
        for path in [
            "$",
            "$..*",
            "$..*..*",
            "$..[*, *, *]..[0, *]",
            "$..[?@..*].*",
            "$.results[*, 0:5, ?@.a]['a', 'tags', 'l'][*]",
            "$.results..[?$..a]",
        ] {
            let query = serde_json_path::JsonPath::parse(path).expect(path);
            let nodes = query.query(&response).len() as u64;
            let steps = cost(path).steps(&shape);
            assert!(nodes <= steps, "{path}: {nodes} nodes, {steps} steps");
        }
    }

    #[test]
    fn long_texts_cost_more_than_short_ones() {
        let text = |length| json!({"results": vec![json!({"a": "x".repeat(length)}); 200]});
        for path in [
            "$.results[?match(@.a, 'x*')]",
            "$.results[?length(@.a) > 1]",
            "$.results[?@.a == $.results[0].a]",
        ] {
            let steps = |length| cost(path).steps(&Shape::of(&text(length)));
            assert!(steps(1_000_000) > MOST_STEPS, "{path}");
            assert!(steps(100) < MOST_STEPS / 100, "{path}");
        }
    }

    #[test]
    fn quoted_texts_are_no_syntax() {
        let plain = cost("$.results[?@.status == 'x']").path;
        for path in [
            "$.results[?@.status == '$..[?@]']",
            "$['results'][?@['status'] == \"match(@.a)\"]",
            "results[?(@.status=='Available')]",
        ] {
            assert_eq!(cost(path).path, plain, "{path}");
        }
    }

    #[test]
    fn functions_with_a_pattern_are_those_that_compile_it_once() {
        for (path, rewritten) in [
            (
                "$.results[?match(@.a, '[(]match[(]') || search(@['search('], \"x\")]",
                "$.results[?openseat_match(@.a, '[(]match[(]') || openseat_search(@['search('], \"x\")]",
            ),
            ("$.match[?@.search == 1]", "$.match[?@.search == 1]"),
            ("count", "count"),
        ] {
            assert_eq!(cost(path).rewritten, rewritten);
        }
    }
}
