//! How to ask CallTools the same without us: to compare, or to show its support.

use std::fmt::Write as _;

use crate::{
    check::Target,
    config::{self, QueueRef, Upstream},
};

const PREFACE: &str = "\
# The token goes into the environment first: read -rs CALLTOOLS_API_TOKEN. Ids are found with jq.
# Where an answer's \"next\" is not null there are more than 250 rows: add &page=2 to its address, and so on.
";

/// The commands for each queue: a script that a POSIX shell runs as it stands.
pub(super) fn commands(targets: &[Target<'_>]) -> String {
    let mut script = PREFACE.to_owned();
    for target in targets {
        for (queue, _) in &target.queues {
            let _ = writeln!(script, "\n# {}", target.key(queue));
            script += &command(&target.account.upstream, queue);
        }
    }
    script
}

fn command(upstream: &Upstream, queue: &config::Queue) -> String {
    let agents = |id: &str| {
        let url = format!("{}agentstatuses/?queue=", upstream.base_url);
        let url = format!("\"{}{id}&page_size=250\"", escaped(&url));
        format!("{} {url}\n", curl(upstream))
    };
    match &queue.reference {
        QueueRef::Id(id) => agents(&id.to_string()),
        QueueRef::Name(name) => {
            let url = format!("{}queues/?page_size=250", upstream.base_url);
            format!(
                "QUEUE_ID=$({} {} |\n  jq --arg name {} '.results[] | select(.name == $name) | .id')\n{}",
                curl(upstream),
                quoted(&url),
                quoted(name),
                agents("$QUEUE_ID")
            )
        }
    }
}

/// `curl` with everything that the config says about the way to the account.
fn curl(upstream: &Upstream) -> String {
    let mut curl = "curl -sS".to_owned();
    if let Some(proxy) = &upstream.proxy {
        curl += &format!(" --proxy {}", quoted(proxy.as_str()));
    }
    if let Some(file) = &upstream.ca_file {
        curl += &format!(" --cacert {}", quoted(&file.to_string_lossy()));
    }
    curl + " -H \"Authorization: Token $CALLTOOLS_API_TOKEN\""
}

/// A word that a POSIX shell takes as it stands.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The same between double quotes, where variables are wanted.
fn escaped(word: &str) -> String {
    let mut escaped = String::with_capacity(word.len());
    for letter in word.chars() {
        if matches!(letter, '"' | '\\' | '$' | '`') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
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
        fn a_shell_reads_what_was_meant(word in "[ -~é]{0,20}") {
            prop_assert_eq!(echoed(&quoted(&word)), word.clone());
            prop_assert_eq!(echoed(&format!("\"{}\"", escaped(&word))), word);
        }
    }
}
