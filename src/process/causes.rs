//! An error and its causes: one by one, and in one line.

use std::{error::Error, io};

/// Returns the error and its causes, the outermost first.
pub fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

/// Returns the cause. An I/O error names its inner error's cause as its own and leaves out the inner error; TLS wraps its errors in two of them.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// Formats the error and its causes, the outermost first: `cannot read a.toml: permission denied`. A cause that the previous one already states is
/// left out: many errors, including the system's, repeat their cause in their own text.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for words in chain(error).map(ToString::to_string) {
        if !words.is_empty() && !said.iter().any(|before| tells(before, &words)) {
            said.push(words);
        }
    }
    said.join(": ")
}

/// Returns whether a text contains these words as whole words.
fn tells(text: &str, words: &str) -> bool {
    let is_letter = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    text.match_indices(words).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + words.len()..].chars().next();
        !is_letter(before) && !is_letter(after)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot listen on {place}: {source}")]
    struct Refused {
        place: &'static str,
        source: io::Error,
    }

    #[test]
    fn a_cause_is_named_once() {
        let refused = || Refused {
            place: "127.0.0.1:7717",
            source: io::Error::from_raw_os_error(98),
        };
        let once = "cannot listen on 127.0.0.1:7717: Address already in use (os error 98)";
        assert_eq!(causes(&refused()), once);
        let deeper = anyhow::Error::from(refused()).context("no start");
        assert_eq!(causes(deeper.as_ref()), format!("no start: {once}"));
        let twice = anyhow!("full").context("full").context("disk full");
        assert_eq!(causes(twice.as_ref()), "disk full");
    }

    #[test]
    fn causes_that_only_look_alike_are_kept() {
        let error = anyhow!("no").context("nobody answers");
        assert_eq!(causes(error.as_ref()), "nobody answers: no");
        let error = anyhow!("refused").context("a");
        assert_eq!(causes(error.as_ref()), "a: refused");
        assert_eq!(causes(anyhow!("").context("a").as_ref()), "a");
    }
}
