//! The structure of a path that the JSONPath parser accepts: its names for the feeds, and its filters for the cost.

use super::functions;

/// A path, or a query inside one.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Query {
    pub(super) from_root: bool,
    pub(super) segments: Vec<Segment>,
}

/// `.name`, `[…]`, `..name` or `..[…]`.
#[derive(Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) descends: bool,
    pub(super) selectors: Vec<Selector>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Selector {
    /// As it is written between its quotes, escapes included.
    Name(String),
    Index,
    Wildcard,
    Slice,
    Filter(Filter),
}

/// What a filter evaluates for each of its candidates.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Filter {
    pub(super) queries: Vec<Query>,
    /// Calls of any function.
    pub(super) functions: u64,
    /// Calls of functions that match a pattern.
    pub(super) matches: u64,
}

impl Query {
    /// Reads a path that the parser accepts: `text` as written, `outline` with its quoted text blanked out. Also returns the path with our
    /// functions in place of those that compile their pattern for each row.
    ///
    /// # Errors
    /// A sentence on a pattern that cannot be used.
    pub(super) fn read(text: &[char], outline: &[char]) -> Result<(Self, String), String> {
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
        let query = Self {
            from_root: true,
            segments: reader.segments()?,
        };
        reader.skip(char::is_whitespace);
        if reader.peek().is_some() {
            return Err(reader.lost());
        }
        reader.rewritten.extend(&text[reader.copied..]);
        Ok((query, reader.rewritten))
    }

    /// Whether it consists of names and indices only, so that it selects one node or none.
    pub(super) fn is_singular(&self) -> bool {
        self.segments.iter().all(Segment::is_singular)
    }

    /// Every name that it selects by, in filters too. The text that a filter compares with is not a name.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.visit(&mut |query| {
            let selectors = query.segments.iter().flat_map(|segment| &segment.selectors);
            names.extend(selectors.filter_map(Selector::name));
        });
        names
    }

    /// Whether a wildcard, other than the one that selects every row, reads every field.
    pub(super) fn reads_all_fields(&self) -> bool {
        let (mut wildcards, mut of_rows) = (0, 0);
        self.visit(&mut |query| {
            let selectors = query.segments.iter().flat_map(|segment| &segment.selectors);
            wildcards += selectors.filter(|one| **one == Selector::Wildcard).count();
            let pairs = query.segments.windows(2);
            of_rows += pairs
                .filter(|pair| pair[0].selects_rows_of(&pair[1]))
                .count();
        });
        wildcards > of_rows.min(1)
    }

    /// Visits this query and those in its filters.
    fn visit<'a>(&'a self, visitor: &mut impl FnMut(&'a Query)) {
        visitor(self);
        let selectors = self.segments.iter().flat_map(|segment| &segment.selectors);
        for selector in selectors {
            if let Selector::Filter(filter) = selector {
                for query in &filter.queries {
                    query.visit(visitor);
                }
            }
        }
    }
}

impl Segment {
    /// Whether it selects one node or none.
    pub(super) fn is_singular(&self) -> bool {
        !self.descends && matches!(self.selectors[..], [Selector::Name(_) | Selector::Index])
    }

    /// Whether this and the `next` segment are `results[*]`.
    fn selects_rows_of(&self, next: &Segment) -> bool {
        matches!(&self.selectors[..], [Selector::Name(name)] if name == "results")
            && !next.descends
            && next.selectors == [Selector::Wildcard]
    }
}

impl Selector {
    fn name(&self) -> Option<&str> {
        match self {
            Selector::Name(name) => Some(name),
            _ => None,
        }
    }
}

struct Reader<'a> {
    text: &'a [char],
    outline: &'a [char],
    at: usize,
    rewritten: String,
    /// How many characters of the text `rewritten` already has.
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
                    vec![Selector::Wildcard]
                }
                // The short spelling of a path begins with a name or a star.
                Some(c) if is_name(c) && (dots > 0 || begin == 0) => {
                    let name = self.at;
                    self.skip(is_name);
                    vec![Selector::Name(self.text[name..self.at].iter().collect())]
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

    /// The parser accepted something that this reader does not know, so the cost is unknown.
    fn lost(&self) -> String {
        let at = self.at + 1;
        format!(
            "from character {at} on, openseat cannot tell what the path costs: write it in a simpler way"
        )
    }

    /// The selectors between brackets.
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
                _ => self.selector(),
            };
            selectors.push(selector);
            self.at += 1;
            if matches!(self.outline.get(self.at - 1), Some(']') | None) {
                return Ok(selectors);
            }
        }
    }

    /// A selector that is not a filter, up to the comma or bracket that ends it.
    fn selector(&mut self) -> Selector {
        let begin = self.at;
        self.skip(|c| c != ',' && c != ']');
        let syntax = &self.outline[begin..self.at];
        let written: String = self.text[begin..self.at].iter().collect();
        match written.trim().strip_prefix(['\'', '"']) {
            Some(name) => Selector::Name(name.strip_suffix(['\'', '"']).unwrap_or(name).to_owned()),
            None if syntax.contains(&'*') => Selector::Wildcard,
            None if syntax.contains(&':') => Selector::Slice,
            None => Selector::Index,
        }
    }

    /// A filter, up to the comma or bracket that ends it.
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
                // Only a query has brackets, and it ends after them.
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

    /// A constant or a function's name. Functions with a pattern are renamed to ours, and their pattern is compiled once to check it.
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

    /// The text between the comma after the first argument and the end of the call.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::criteria::scan::Outline;

    fn read(path: &str) -> (Query, String) {
        let text: Vec<char> = path.chars().collect();
        let outline = Outline::scan(path).expect(path);
        Query::read(&text, outline.chars()).expect(path)
    }

    #[test]
    fn quoted_text_is_not_syntax() {
        let (plain, _) = read("$.results[?@.status == 'x']");
        for path in [
            "$.results[?@.status == '$..[?@]']",
            "$['results'][?@['status'] == \"match(@.a)\"]",
            "results[?(@.status=='Available')]",
        ] {
            assert_eq!(read(path).0, plain, "{path}");
        }
    }

    #[test]
    fn functions_with_a_pattern_are_replaced_by_ours() {
        for (path, rewritten) in [
            (
                "$.results[?match(@.a, '[(]match[(]') || search(@['search('], \"x\")]",
                "$.results[?openseat_match(@.a, '[(]match[(]') || openseat_search(@['search('], \"x\")]",
            ),
            ("$.match[?@.search == 1]", "$.match[?@.search == 1]"),
            ("count", "count"),
        ] {
            assert_eq!(read(path).1, rewritten);
        }
    }
}
