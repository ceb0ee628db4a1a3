//! All keys of the file, and advice about any other key.

use crate::process::spelling;

/// A table of the file.
#[derive(Debug)]
pub(super) struct Kind {
    /// As written in the file: `[[account]]`; empty for the file itself.
    pub header: &'static str,
    pub keys: &'static [Key],
}

/// A key, and a value to show as an example.
#[derive(Debug)]
pub(super) struct Key {
    pub name: &'static str,
    pub example: &'static str,
}

const fn key(name: &'static str, example: &'static str) -> Key {
    Key { name, example }
}

pub(super) const ROOT: Kind = Kind {
    header: "",
    keys: &[
        key("server", "{}"),
        key("state", "{}"),
        key("cluster", "{}"),
        key("account", "[]"),
        key("notify", "[]"),
    ],
};

pub(super) const SERVER: Kind = Kind {
    header: "[server]",
    keys: &[
        key("listen", r#""127.0.0.1:7717""#),
        key("bearer_token_file", r#""/etc/openseat/bearer.token""#),
        key("client", "[]"),
        key("insecure_no_auth", "true"),
        key("allowed_hosts", r#"["openseat.internal"]"#),
        key("tls_cert", r#""/etc/openseat/tls/fullchain.pem""#),
        key("tls_key", r#""/etc/openseat/tls/privkey.pem""#),
        key("max_connections", "1024"),
        key("agent_check_listen", r#""127.0.0.1:7718""#),
        key("threads", "1"),
        key("metrics_by_status", "false"),
    ],
};

pub(super) const STATE: Kind = Kind {
    header: "[state]",
    keys: &[
        key("dir", r#""/var/lib/openseat""#),
        key("history_days", "7"),
    ],
};

pub(super) const CLUSTER: Kind = Kind {
    header: "[cluster]",
    keys: &[
        key("url", r#""redis://redis.internal:6379/0""#),
        key("password_file", r#""/etc/openseat/redis.password""#),
        key("prefix", r#""openseat""#),
        key("lease", r#""10s""#),
        key("replicas", "0"),
        key("node", r#""router-3""#),
        key("alone", r#""router-3""#),
    ],
};

pub(super) const ACCOUNT: Kind = Kind {
    header: "[[account]]",
    keys: &[
        key("name", r#""main""#),
        key("silo", r#""east-1""#),
        key("base_url", r#""https://east-1.calltools.io/api/""#),
        key("insecure_plain_http", "true"),
        key("token_file", r#""/etc/openseat/main.token""#),
        key("token_env", r#""CALLTOOLS_API_TOKEN""#),
        key("requests_per_hour", "1000"),
        key("reserve", "50"),
        key("budget", r#""acme""#),
        key("sweep", "true"),
        key("idle_pace", "0.25"),
        key("ordering_field", r#""agent_status_modified_on""#),
        key("timeout", r#""10s""#),
        key("connect_timeout", r#""3s""#),
        key("proxy", r#""http://proxy.example:3128""#),
        key("ca_file", r#""/etc/ssl/certs/company.pem""#),
        key("queue", "[]"),
    ],
};

pub(super) const QUEUE: Kind = Kind {
    header: "[[account.queue]]",
    keys: &[
        key("queue", r#""sales-queue""#),
        key("threshold", "0"),
        key("max_age", r#""90s""#),
        key("on_unknown", r#""reject""#),
        key("open", r#"["Mon-Fri 08:00-18:00", "Sat 09:00-12:00"]"#),
        key("time_zone", r#""America/New_York""#),
        key("fresh", r#""500ms""#),
        key("wait", r#""800ms""#),
        key("forgotten_after", r#""8h""#),
        key("count_on_call", "true"),
        key("soon", "true"),
        key("lead", r#""5s""#),
        key("patience", r#""5s""#),
        key("cost", "2"),
        key("accept", "{}"),
    ],
};

pub(super) const ACCEPT: Kind = Kind {
    header: "[account.queue.accept]",
    keys: &[
        key("field", r#""results[*].queue_logged_in""#),
        key("measure", r#""count""#),
        key("condition", r#""greater_than""#),
        key("value", "0"),
    ],
};

pub(super) const CLIENT: Kind = Kind {
    header: "[[server.client]]",
    keys: &[
        key("name", r#""buyer-7""#),
        key("token_file", r#""/etc/openseat/buyer-7.token""#),
        key("queues", r#"["sales-queue"]"#),
        key("may", r#""ask""#),
        key("in_url", "true"),
    ],
};

pub(super) const NOTIFY: Kind = Kind {
    header: "[[notify]]",
    keys: &[
        key("url_file", r#""/etc/openseat/slack.url""#),
        key("insecure_plain_http", "true"),
        key("on", r#"["bad_token", "upstream_down"]"#),
        key("after", r#""5m""#),
        key("queues", r#"["sales-queue"]"#),
    ],
};

/// How many letters of a key of another table may be wrong.
const MAX_SLIPS: usize = 2;

/// Keys that people write in `[[notify]]` for the address itself.
const NAMES_OF_AN_ADDRESS: [&str; 4] = ["url", "webhook", "webhook_url", "address"];

/// What CallGrid's hosted form calls the `field` of a rule.
pub(super) const HOSTED_FIELD: &str = "property";

/// What people write for `queue`; other tables have some of these keys.
const NAMES_OF_A_QUEUE: [&str; 4] = ["name", "id", "queue_name", "queue_id"];

/// Every table of the file.
pub(super) const ALL: [&Kind; 9] = [
    &ROOT, &SERVER, &STATE, &CLUSTER, &ACCOUNT, &QUEUE, &ACCEPT, &CLIENT, &NOTIFY,
];

impl Kind {
    pub(super) fn has(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name)
    }

    /// Returns whether a key may be written, also under its name in the hosted form.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.has(name) || (self.header == ACCEPT.header && name == HOSTED_FIELD)
    }

    /// Returns an example value for this key.
    pub(super) fn example(&self, name: &str) -> &'static str {
        let key = self.keys.iter().find(|key| key.name == name);
        key.expect("only keys of this table are asked for").example
    }

    /// Says what to do instead of writing this key here.
    pub(super) fn advice(&self, unknown: &str) -> String {
        let unknown = &normal(unknown);
        if let Some(gone) = Self::gone(unknown) {
            gone.to_owned()
        } else if is_secret(unknown) || self.is_address(unknown) {
            self.secret_advice()
        } else if self.has(unknown) {
            format!("write `{unknown}`")
        } else if self.header == QUEUE.header && NAMES_OF_A_QUEUE.contains(&unknown.as_str()) {
            "write `queue`, for a name or an id".to_owned()
        } else if matches!(self.header, "[[server.client]]" | "[[notify]]") && unknown == "queue" {
            "write `queues`, a list".to_owned()
        } else if let Some(home) = ALL.iter().find(|kind| kind.is_home_of(unknown)) {
            home.welcome(unknown)
        } else if let Some(nearest) = nearest(unknown, self.keys.iter().map(|key| key.name)) {
            format!("did you mean `{nearest}`?")
        } else if let Some((home, nearest)) = elsewhere(unknown) {
            format!(
                "did you mean `{nearest}`? {}",
                sentence(&home.welcome(&nearest))
            )
        } else {
            format!("{} may have {}", self.title(), self.list())
        }
    }

    /// Returns whether a misplaced key probably belongs here. Few configs have clients, and `queues` is more often a typo of `queue`.
    fn is_home_of(&self, name: &str) -> bool {
        self.header != CLIENT.header && name != "queues" && self.has(name)
    }

    /// Returns whether an unknown key seems to hold an address to notify.
    fn is_address(&self, name: &str) -> bool {
        self.header == NOTIFY.header && NAMES_OF_AN_ADDRESS.contains(&name)
    }

    /// Explains why a key of an earlier openseat is gone.
    fn gone(unknown: &str) -> Option<&'static str> {
        let is_gone = matches!(unknown, "hook_secret_file" | "hook_url");
        is_gone.then_some(
            "REST hooks were removed because they made no answer fresher; delete this line",
        )
    }

    /// Says where a token belongs: not in this file.
    fn secret_advice(&self) -> String {
        let instead = match self.header {
            "[server]" => "name a file that holds it with bearer_token_file",
            "[cluster]" => "name a file that holds it with password_file",
            "[[server.client]]" => "name a file that holds it with token_file",
            "[[notify]]" => "name a file that holds the address with url_file",
            _ => {
                "name a file that holds it with token_file, an environment variable with token_env, or let systemd hand it over as the credential <account name>.token"
            }
        };
        format!(
            "secrets do not belong in this file, which is read by many and copied to backups; {instead}"
        )
    }

    fn welcome(&self, key: &str) -> String {
        match self.header {
            "" => format!("write it as {}", self.header_of(key)),
            header => format!("it belongs under {header}"),
        }
    }

    fn header_of(&self, key: &str) -> String {
        match key {
            "account" | "notify" => format!("[[{key}]]"),
            _ => format!("[{key}], on a line of its own"),
        }
    }

    fn title(&self) -> &'static str {
        match self.header {
            "" => "the file",
            header => header,
        }
    }

    fn list(&self) -> String {
        let names: Vec<_> = self.keys.iter().map(|key| key.name).collect();
        names.join(", ")
    }
}

/// Normalizes to lower case and underscores, like all keys and words of the file.
pub(super) fn normal(word: &str) -> String {
    // No key is longer: more characters cannot bring a word nearer.
    let start = word.trim().chars().take(40);
    start
        .map(|letter| match letter {
            '-' | ' ' => '_',
            _ => letter.to_ascii_lowercase(),
        })
        .collect()
}

/// Returns whether an unknown key seems to hold a secret itself.
fn is_secret(key: &str) -> bool {
    const WHOLE: [&str; 5] = ["key", "auth", "authorization", "bearer", "credential"];
    const PARTS: [&str; 5] = ["secret", "password", "passwd", "api_key", "apikey"];
    let seems = key.ends_with("token")
        || WHOLE.contains(&key)
        || PARTS.iter().any(|part| key.contains(part));
    seems && !ALL.iter().any(|kind| kind.has(key))
}

/// Returns the key of any table that `wrong` most likely stands for, with its table. It must be nearly the same: many tables have many keys.
fn elsewhere(wrong: &str) -> Option<(&'static Kind, String)> {
    let names = ALL.iter().flat_map(|kind| kind.keys).map(|key| key.name);
    let is_usual = |name: &&str| ALL.iter().any(|kind| kind.is_home_of(name));
    let nearest = nearest(wrong, names.filter(is_usual))?;
    if strsim::damerau_levenshtein(wrong, &nearest) > MAX_SLIPS {
        return None;
    }
    let home = ALL.into_iter().find(|kind| kind.is_home_of(&nearest))?;
    Some((home, nearest))
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Returns the name that `wrong` most likely stands for.
pub(super) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let nearest = spelling::nearest(&normal(wrong), names.into_iter());
    nearest.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_regardless_of_case_and_hyphens() {
        let words = || QUEUE.keys.iter().map(|key| key.name);
        for (wrong, right) in [
            ("treshold", Some("threshold")),
            ("max-age", Some("max_age")),
            ("Max Age", Some("max_age")),
            ("on_unkown", Some("on_unknown")),
            ("forgotten", Some("forgotten_after")),
            ("threshold_of_seats", Some("threshold")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, words()).as_deref(), right, "{wrong}");
        }
    }

    #[test]
    fn every_example_is_toml() {
        for key in ALL.iter().flat_map(|kind| kind.keys) {
            let line = format!("{} = {}", key.name, key.example);
            assert!(toml::de::DeTable::parse(&line).is_ok(), "{line}");
        }
    }

    #[test]
    fn each_typo_gets_its_own_advice() {
        for (kind, unknown, advice) in [
            (&SERVER, "Max-Connections", "write `max_connections`"),
            (&SERVER, "insecure", "did you mean `insecure_no_auth`?"),
            (&STATE, "directory", "did you mean `dir`?"),
            (&QUEUE, "name", "write `queue`, for"),
            (&ACCOUNT, "threshold", "it belongs under [[account.queue]]"),
            (&ACCOUNT, "server", "write it as [server]"),
            (
                &ACCOUNT,
                "treshold",
                "did you mean `threshold`? It belongs under [[account.queue]]",
            ),
            (
                &QUEUE,
                "requests-per-hours",
                "did you mean `requests_per_hour`? It belongs under [[account]]",
            ),
            (
                &STATE,
                "acount",
                "did you mean `account`? Write it as [[account]]",
            ),
            (&ACCOUNT, "token_fil", "did you mean `token_file`?"),
            (&ACCOUNT, "my_token", "secrets do not belong in this file"),
            (&SERVER, "password", "secrets do not belong in this file"),
            (&NOTIFY, "url", "secrets do not belong in this file"),
            (&NOTIFY, "queue", "write `queues`, a list"),
            (&NOTIFY, "mail", "[[notify]] may have url_file"),
            (&SERVER, "notify", "write it as [[notify]]"),
            (&ACCOUNT, "hook_url", "REST hooks were removed"),
            (&STATE, "colour", "[state] may have dir"),
        ] {
            let given = kind.advice(unknown);
            assert!(given.starts_with(advice), "{unknown}: {given}");
        }
    }

    /// Returns the keys below a header in the example, commented out or not.
    fn shown_below(header: &str) -> Vec<&'static str> {
        let lines = include_str!("../../config.example.toml").lines();
        let mut below = "";
        let mut shown = Vec::new();
        for line in lines.map(|line| line.strip_prefix("# ").unwrap_or(line)) {
            match line.split_once(" = ") {
                Some((key, _)) if below == header => shown.push(key),
                Some(_) => {}
                None if line.starts_with('[') => below = line,
                None => {}
            }
        }
        shown
    }

    #[test]
    fn the_example_shows_every_key() {
        let is_table = |key: &&Key| matches!(key.example, "{}" | "[]");
        for kind in ALL {
            let shown = shown_below(kind.header);
            for key in kind.keys.iter().filter(|key| !is_table(key)) {
                assert!(shown.contains(&key.name), "{} {}", kind.header, key.name);
            }
        }
    }

    #[test]
    fn a_known_key_is_never_taken_for_a_secret() {
        assert!(
            ALL.iter()
                .flat_map(|kind| kind.keys)
                .all(|key| !is_secret(key.name))
        );
    }
}
