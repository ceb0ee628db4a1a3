//! Scans a path before the JSONPath parser sees it: bounds its size and nesting, and blanks out its quoted text.
//!
//! The parser is recursive and tries its alternatives one after the other: thousands of nested parentheses overflow the stack,
//! nested filters double its work at each level, and text that ends inside `\u` makes it panic. A path that passes this scan is small,
//! balanced and ends outside quotes, so none of that can happen. Only the parser decides whether it is valid.

/// In bytes. Longer than any rule a person writes; the parser's work grows with it.
const MAX_BYTES: usize = 1024;

/// The most brackets and parentheses inside each other. The parser takes 1000 on a small stack, people need five.
const MAX_NESTED: usize = 32;

/// The most filters inside filters. Each level doubles the parser's work, and multiplies that of an evaluation by the rows.
const MAX_NESTED_FILTERS: usize = 4;

/// The most selectors side by side, as in `['a', 'b']`: each selects again, and those of nested brackets multiply.
const MAX_COMMAS: usize = 16;

/// `..` visits everything below a node, and a second one does so from each node that the first one visited.
const MAX_DESCENTS: usize = 2;

/// Replaces each character of quoted text in an [`Outline`], quotes included.
const QUOTED: char = '\'';

/// The characters of a path with its quoted text blanked out, so that only syntax is left.
#[derive(Debug)]
pub(super) struct Outline(Vec<char>);

impl Outline {
    /// Scans a path.
    ///
    /// # Errors
    /// A sentence that says what is too long, nested too deeply, or never closed.
    pub(super) fn scan(path: &str) -> Result<Self, String> {
        if path.len() > MAX_BYTES {
            return Err(format!(
                "the path is {} bytes long; the most is {MAX_BYTES}",
                path.len()
            ));
        }
        let mut scan = Scan::default();
        for (at, character) in (1..).zip(path.chars()) {
            scan.read(at, character)?;
        }
        scan.finish()
    }

    /// Returns one character for each one of the path, in order.
    pub(super) fn chars(&self) -> &[char] {
        &self.0
    }
}

/// The state of a scan. Positions count characters, from 1.
#[derive(Default)]
struct Scan {
    chars: Vec<char>,
    quote: Option<Quote>,
    open: Vec<Bracket>,
    commas: usize,
    descents: usize,
}

/// Quoted text that has begun.
struct Quote {
    mark: char,
    at: usize,
    /// The last character was a backslash, so the next one is literal.
    escaped: bool,
}

/// A bracket that was opened.
struct Bracket {
    closing: char,
    at: usize,
    /// It contains a `?`.
    filter: bool,
}

impl Scan {
    fn read(&mut self, at: usize, character: char) -> Result<(), String> {
        if self.is_quoted(at, character) {
            self.chars.push(QUOTED);
            return Ok(());
        }
        self.chars.push(character);
        match character {
            '[' => self.open(at, ']'),
            '(' => self.open(at, ')'),
            ']' | ')' => self.close(at, character),
            '?' => self.filter(at),
            ',' => self.comma(at),
            '.' => self.dot(at),
            _ => Ok(()),
        }
    }

    /// Returns whether the character belongs to quoted text. Tracks where such text begins and ends.
    fn is_quoted(&mut self, at: usize, character: char) -> bool {
        match &mut self.quote {
            None if matches!(character, '\'' | '"') => {
                self.quote = Some(Quote {
                    mark: character,
                    at,
                    escaped: false,
                });
            }
            None => return false,
            Some(quote) if quote.escaped => quote.escaped = false,
            Some(quote) if character == '\\' => quote.escaped = true,
            Some(quote) if character == quote.mark => self.quote = None,
            Some(_) => {}
        }
        true
    }

    fn open(&mut self, at: usize, closing: char) -> Result<(), String> {
        self.open.push(Bracket {
            closing,
            at,
            filter: false,
        });
        at_most(MAX_NESTED, self.open.len(), at, "nested brackets")
    }

    fn close(&mut self, at: usize, closing: char) -> Result<(), String> {
        match self.open.pop() {
            Some(bracket) if bracket.closing == closing => Ok(()),
            Some(bracket) => Err(format!(
                "at character {at}, `{closing}` stands where the bracket of character {} wants its `{}`",
                bracket.at, bracket.closing
            )),
            None => Err(format!(
                "at character {at}, `{closing}` closes a bracket that was never opened"
            )),
        }
    }

    fn filter(&mut self, at: usize) -> Result<(), String> {
        if let Some(bracket) = self.open.last_mut() {
            bracket.filter = true;
        }
        let nested = self.open.iter().filter(|bracket| bracket.filter).count();
        at_most(MAX_NESTED_FILTERS, nested, at, "nested filters")
    }

    fn comma(&mut self, at: usize) -> Result<(), String> {
        self.commas += 1;
        at_most(MAX_COMMAS, self.commas, at, "commas")
    }

    fn dot(&mut self, at: usize) -> Result<(), String> {
        if self.chars.ends_with(&['.', '.']) {
            self.descents += 1;
        }
        at_most(MAX_DESCENTS, self.descents, at, "`..`")
    }

    fn finish(self) -> Result<Outline, String> {
        if let Some(quote) = self.quote {
            return Err(format!(
                "the quote at character {} is never closed: write {} at the end of the text; inside the text a quote is written \\{}",
                quote.at, quote.mark, quote.mark
            ));
        }
        if let Some(bracket) = self.open.last() {
            return Err(format!(
                "the bracket at character {} is never closed: a `{}` is missing",
                bracket.at, bracket.closing
            ));
        }
        Ok(Outline(self.chars))
    }
}

fn at_most(max: usize, found: usize, at: usize, what: &str) -> Result<(), String> {
    if found <= max {
        return Ok(());
    }
    Err(format!(
        "at character {at}, the path has more {what} than the {max} that are allowed"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(path: &str) -> String {
        Outline::scan(path).expect(path).chars().iter().collect()
    }

    #[test]
    fn quoted_text_is_blanked_out() {
        assert_eq!(outline(r"a['b\'(']"), "a['''''']");
        assert_eq!(outline(r#"a["'"]"#), "a[''']");
        assert_eq!(outline(r"a['\\']"), "a['''']");
    }

    #[test]
    fn an_unclosed_bracket_or_quote_is_reported_with_its_position() {
        let cases = [
            (
                "a[?(@.b == 'c'",
                "the bracket at character 4 is never closed: a `)` is missing",
            ),
            (
                "a[0",
                "the bracket at character 2 is never closed: a `]` is missing",
            ),
            (
                "a[?(@.b]",
                "at character 8, `]` stands where the bracket of character 4 wants its `)`",
            ),
            (
                "a]",
                "at character 2, `]` closes a bracket that was never opened",
            ),
            (
                r"['\u",
                r"the quote at character 2 is never closed: write ' at the end of the text; inside the text a quote is written \'",
            ),
        ];
        for (path, expected) in cases {
            assert_eq!(Outline::scan(path).expect_err(path), expected);
        }
    }

    /// Checks that `max` of something are accepted, and that one more is rejected by name.
    fn assert_bound(what: &str, max: usize, path: impl Fn(usize) -> String) {
        outline(&path(max));
        let error = Outline::scan(&path(max + 1)).expect_err(what);
        assert!(error.contains(what), "{error}");
    }

    #[test]
    fn each_bound_accepts_its_maximum_and_rejects_one_more() {
        assert_bound("bytes", MAX_BYTES, |n| "a".repeat(n));
        assert_bound("nested brackets", MAX_NESTED, |n| {
            "(".repeat(n) + &")".repeat(n)
        });
        assert_bound("nested filters", MAX_NESTED_FILTERS, |n| {
            "[?@".repeat(n) + &"]".repeat(n)
        });
        assert_bound("commas", MAX_COMMAS, |n| format!("[0{}]", ",0".repeat(n)));
        assert_bound("`..`", MAX_DESCENTS, |n| "..a".repeat(n));
        // Inside quotes, only the length counts.
        assert_bound("bytes", MAX_BYTES, |n| format!("'{}'", "(".repeat(n - 2)));
    }

    #[test]
    fn filters_side_by_side_are_not_nested() {
        outline(&"[?@.a]".repeat(10));
    }
}
