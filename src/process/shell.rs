//! Words for a POSIX shell.

/// Quotes a word so that a shell takes it literally.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Returns a word that a shell takes literally: quoted, unless it has only letters, digits and a few harmless characters.
pub fn word(text: &str) -> String {
    let is_harmless = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    match !text.is_empty() && text.chars().all(is_harmless) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn echoed(words: &str) -> String {
        let script = format!("printf %s {words}");
        let output = Command::new("sh").args(["-c", &script]).output();
        String::from_utf8(output.expect("a shell").stdout).expect("text")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_reads_the_original_word(word in "[ -~é]{0,20}") {
            prop_assert_eq!(echoed(&quoted(&word)), word.clone());
            prop_assert_eq!(echoed(&super::word(&word)), word);
        }
    }

    #[test]
    fn an_ordinary_name_needs_no_quotes() {
        assert_eq!(word("main/sales-queue"), "main/sales-queue");
        assert_eq!(word("main/with space"), "'main/with space'");
    }
}
