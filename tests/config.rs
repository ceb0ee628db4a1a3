//! The configuration as operators see it: the example, good files, and bad files with their messages.
//!
//! `UPDATE_EXPECTED=1 cargo test --test config` rewrites the messages; review the difference before you keep it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use openseat::{
    config::{Config, ConfigError, Listen, QueueRef, Rule, TokenSource},
    decision::{OnUnknown, criteria::SeatRule},
    model::quantity::Quantity,
};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../config.example.toml");

/// The environment under systemd: a credential, and no other variables.
fn env(name: &str) -> Option<String> {
    (name == "CREDENTIALS_DIRECTORY").then(|| "/run/credentials/openseat.service".to_owned())
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("openseat.toml"), &env)
}

fn files(folder: &str) -> BTreeSet<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/config")
        .join(folder);
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect()
}

/// Compares the messages about a config with the text next to it, or writes that text.
fn assert_as_expected(path: &Path, messages: &str) {
    let beside = path.with_extension("txt");
    let messages = if messages.is_empty() {
        String::new()
    } else {
        format!("{messages}\n")
    };
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        match messages.as_str() {
            "" => _ = fs::remove_file(&beside),
            _ => fs::write(&beside, &messages).expect("the file can be written"),
        }
    }
    let expected = fs::read_to_string(&beside).unwrap_or_default();
    assert_eq!(messages, expected, "{}", path.display());
}

#[test]
fn every_bad_file_gets_its_messages() {
    let files = files("bad");
    assert!(files.len() >= 30, "only {} files", files.len());
    for path in files {
        let text = fs::read_to_string(&path).expect("the file can be read");
        let error = parse(&text).expect_err(&path.display().to_string());
        assert_as_expected(&path, &error.to_string());
    }
}

/// The text next to a good file has its warnings, then its notes; a file without such a text has none.
#[test]
fn every_good_file_is_accepted() {
    let files = files("good");
    assert!(!files.is_empty());
    for path in files {
        let text = fs::read_to_string(&path).expect("the file can be read");
        let config = parse(&text).unwrap_or_else(|error| panic!("{}:\n{error}", path.display()));
        assert_as_expected(&path, &[config.warnings, config.notes].concat().join("\n"));
    }
}

#[test]
fn pasted_values_are_accepted() {
    let config = good("pasted.toml");
    let accounts = config.accounts.as_slice();
    let urls = accounts
        .iter()
        .map(|account| account.upstream.base_url.as_str());
    let silos: Vec<_> = urls
        .filter_map(|url| url.split(['/', '.']).nth(2))
        .collect();
    assert_eq!(silos, ["east-1", "west-4", "central-1"]);
    let queues: Vec<_> = accounts
        .iter()
        .flat_map(|account| &account.queues)
        .collect();
    let references: Vec<_> = queues
        .iter()
        .map(|queue| queue.reference.to_string())
        .collect();
    assert_eq!(references, ["5450", "5451", "5452", "5453"]);
    let thresholds: Vec<_> = queues.iter().map(|queue| queue.threshold).collect();
    let number = |number: u32| Some(Quantity::from(number));
    assert_eq!(thresholds, [number(0), number(2), number(3), None]);
}

#[test]
fn the_shown_config_is_valid_and_means_the_same() {
    for path in files("good") {
        let text = fs::read_to_string(&path).expect("the file can be read");
        let config = parse(&text).expect("a valid file");
        let shown = config.to_toml();
        let again = parse(&shown).unwrap_or_else(|error| panic!("{error}\n{shown}"));
        assert_eq!(
            shown.contains("# max_age follows from the budget"),
            config.accounts.iter().any(|account| {
                let mut queues = account.queues.iter();
                queues.any(|queue| queue.max_age.is_none())
            }),
            "{shown}"
        );
        for (one, other) in config.accounts.iter().zip(&again.accounts) {
            assert_eq!((&one.name, &one.upstream), (&other.name, &other.upstream));
            assert_eq!((one.reserve, &one.budget), (other.reserve, &other.budget));
            assert_eq!(one.schedule, other.schedule);
            for (one, other) in one.queues.iter().zip(&other.queues) {
                // A rule's defaults are written out, so the rules are not literally the same.
                let rule = one.rule.clone();
                let other = openseat::config::Queue {
                    rule,
                    ..other.clone()
                };
                assert_eq!(one, &other);
            }
        }
        assert_eq!(config.state_dir, again.state_dir);
        assert_eq!(
            format!("{:?}", config.server),
            format!("{:?}", again.server)
        );
        assert_eq!(again.to_toml(), shown, "the text is stable");
    }
}

#[test]
fn the_state_has_a_folder_without_a_line_of_config() {
    const ACCOUNT: &str = "[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_env = \"TOKEN\"\nqueue = [{ queue = \"sales\" }]\n";
    let parse = |text: &str, variables: &[(&str, &str)]| {
        let env = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::parse(
            &format!("{text}{ACCOUNT}"),
            Path::new("openseat.toml"),
            &env,
        )
        .expect("a valid file")
    };
    let service = ("STATE_DIRECTORY", "/var/lib/openseat:/var/lib/other");
    let xdg = ("XDG_STATE_HOME", "/state");
    let home = ("HOME", "/home/ann");
    for (variables, folder) in [
        (&[service, xdg, home][..], "/var/lib/openseat"),
        (&[xdg, home], "/state/openseat"),
        (&[home], "/home/ann/.local/state/openseat"),
        (
            &[("XDG_STATE_HOME", "relative"), home],
            "/home/ann/.local/state/openseat",
        ),
    ] {
        for text in ["", "[state]\nhistory_days = 3\n"] {
            let config = parse(text, variables);
            assert_eq!(config.state_dir.as_deref(), Some(Path::new(folder)));
            assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        }
        let named = parse("[state]\ndir = \"/elsewhere\"\n", variables);
        assert_eq!(named.state_dir, Some("/elsewhere".into()));
        let memory = parse("[state]\ndir = false\n", variables);
        assert_eq!(
            (memory.state_dir, memory.warnings.len()),
            (None, 0),
            "`dir = false` is deliberate, so there is no warning"
        );
    }
    let nowhere = parse("", &[]);
    assert_eq!(nowhere.state_dir, None);
    assert!(nowhere.warnings[0].starts_with("no [state] dir is set, nor $STATE_DIRECTORY"));
}

/// Whether a line is `# key = value` or `# [table]`. The example's prose has no such lines.
fn is_commented_out(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("# ") else {
        return false;
    };
    let is_key = |key: &str| {
        key.bytes()
            .all(|byte| byte == b'_' || byte.is_ascii_lowercase())
    };
    rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(key, _)| is_key(key))
}

fn uncommented(line: &str) -> &str {
    if is_commented_out(line) {
        &line[2..]
    } else {
        line
    }
}

#[test]
fn the_example_is_accepted_unchanged() {
    let config = parse(EXAMPLE).unwrap_or_else(|error| panic!("{error}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.accounts.len(), 1);
}

#[test]
fn the_configs_for_systemd_and_containers_are_accepted_without_warnings() {
    let env = |name: &str| match name {
        "CALLTOOLS_API_TOKEN" => Some("a token".to_owned()),
        name => env(name),
    };
    for file in [
        "openseat.toml",
        "docker/openseat.toml",
        "kubernetes/openseat.toml",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy")
            .join(file);
        let text = fs::read_to_string(&path).expect("the file exists");
        let config = Config::parse(&text, &path, &env).unwrap_or_else(|error| panic!("{error}"));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        let state = config.state_dir.as_deref();
        assert_eq!(state, Some(Path::new("/var/lib/openseat")), "{file}");
    }
}

#[test]
fn the_example_is_accepted_with_any_one_key_uncommented() {
    // A commented-out table needs several of its keys: the next test uncomments all of them together.
    let whole_tables = EXAMPLE.find("\n# [").expect("a commented-out table");
    let (keys, _) = EXAMPLE.split_at(whole_tables);
    let lines: Vec<_> = keys.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if is_commented_out(line) {
            let mut lines = lines.clone();
            lines[index] = uncommented(line);
            // A certificate needs its key, and the key its certificate; so do opening hours and their time zone.
            for pair in [["# tls_cert", "# tls_key"], ["# open =", "# time_zone"]] {
                let is_of_pair = |line: &&str| pair.iter().any(|start| line.starts_with(start));
                if is_of_pair(line) {
                    let pair = lines.iter_mut().filter(|line| is_of_pair(line));
                    pair.for_each(|line| *line = uncommented(line));
                }
            }
            parse(&lines.join("\n")).unwrap_or_else(|error| panic!("{line}\n{error}"));
        }
    }
}

#[test]
fn the_example_is_accepted_with_all_keys_uncommented() {
    let lines: Vec<_> = EXAMPLE.lines().map(uncommented).collect();
    let config = parse(&lines.join("\n")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.accounts.len(), 2);
}

fn good(name: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/config/good")
        .join(name);
    parse(&fs::read_to_string(path).expect("the file can be read")).expect(name)
}

#[test]
fn five_lines_are_enough_and_the_rest_has_defaults() {
    let config = good("five_lines.toml");
    assert_eq!(
        config.server.listen,
        [Listen::Tcp(([127, 0, 0, 1], 7717).into())]
    );
    assert_eq!(config.server.bearer_token_file, None);
    assert_eq!(config.server.max_connections, 1024);
    assert_eq!(config.server.threads, 1);
    assert_eq!(config.state_dir, Some("/var/lib/openseat".into()));
    let [account] = config.accounts.as_slice() else {
        panic!("one account")
    };
    assert_eq!(&*account.name, "main");
    assert_eq!(
        (account.requests_per_hour.get(), account.reserve),
        (1000, 50)
    );
    let upstream = &account.upstream;
    assert_eq!(
        upstream.base_url.as_str(),
        "https://east-1.calltools.io/api/"
    );
    let credential = "/run/credentials/openseat.service/main.token";
    assert_eq!(upstream.token, TokenSource::Credential(credential.into()));
    assert_eq!(upstream.timeout, Duration::from_secs(10));
    assert_eq!(upstream.connect_timeout, Duration::from_secs(3));
    assert!(upstream.proxy.is_none() && upstream.ca_file.is_none());
    let [queue] = account.queues.as_slice() else {
        panic!("one queue")
    };
    assert_eq!(queue.reference, QueueRef::Name("sales-queue".to_owned()));
    assert_eq!(queue.rule, Rule::Seats(SeatRule::default()));
    assert_eq!(queue.threshold, Some(Quantity::ZERO));
    assert_eq!((queue.max_age, queue.on_unknown), (None, OnUnknown::Reject));
}

#[test]
fn the_config_is_what_the_file_says() {
    let config = good("everything.toml");
    let listen = &config.server.listen;
    assert_eq!(listen[0], Listen::Tcp(([0, 0, 0, 0], 7717).into()));
    assert_eq!(
        listen[2],
        Listen::Unix("/run/openseat/openseat.sock".into())
    );
    assert_eq!(config.server.bearer_token_file, Some("bearer/token".into()));
    assert_eq!(
        config.server.allowed_hosts,
        ["openseat.internal", "host.docker.internal"]
    );
    assert_eq!(config.server.max_connections, 64);
    assert_eq!(config.server.threads, 2);
    assert_eq!(
        config.server.agent_check_listen,
        Some(([127, 0, 0, 1], 7719).into())
    );
    let [south, north, day, night] = config.accounts.as_slice() else {
        panic!("four accounts")
    };
    assert_eq!((&south.budget, &north.budget), (&None, &None));
    assert_eq!(day.budget, night.budget);
    let shared = day.budget.as_ref().expect("the budget is shared");
    assert_eq!((&*shared.name, shared.accounts.get()), ("acme", 2));
    assert_eq!(day.polls_per_hour().get(), 475);
    assert_eq!(south.upstream.base_url, north.upstream.base_url);
    assert_eq!(
        south.upstream.token,
        TokenSource::Env("CALLTOOLS_API_TOKEN".to_owned())
    );
    assert!(matches!(north.upstream.token, TokenSource::Credential(_)));
    assert_eq!(south.upstream.timeout, Duration::from_millis(1500));
    let proxy = south.upstream.proxy.as_ref().map(url::Url::as_str);
    assert_eq!(proxy, Some("http://proxy.example:3128/"));
    assert_eq!((south.reserve, north.reserve), (0, 0));
    assert_eq!(south.queues[0].threshold, Some(Quantity::from(2_u32)));
    assert_eq!(south.queues[0].max_age, Some(Duration::from_secs(36)));
    assert_eq!(south.queues[0].on_unknown, OnUnknown::Last);
    let rule = SeatRule {
        forgotten_after: Some(Duration::from_secs(8 * 3600)),
        count_on_call: true,
    };
    assert_eq!(south.queues[0].rule, Rule::Seats(rule));
    assert_eq!(south.queues[1].reference, QueueRef::Id(5450));
    assert_eq!(&*south.queues[1].spelling, "5450");
}

#[test]
fn a_custom_rule_has_its_own_threshold_or_uses_the_queues() {
    let config = good("rules.toml");
    let thresholds: Vec<_> = config.accounts[0]
        .queues
        .iter()
        .map(|queue| queue.threshold)
        .collect();
    let number = |number: u32| Some(Quantity::from(number));
    assert_eq!(thresholds, [number(2), number(3), number(0), None]);
    assert!(
        config.accounts[0]
            .queues
            .iter()
            .all(|queue| matches!(queue.rule, Rule::Custom(_)))
    );
}

#[test]
fn without_a_token_the_account_says_where_to_put_one() {
    let text = include_str!("config/good/five_lines.toml");
    for folder in [None, Some(String::new())] {
        let config = Config::parse(text, Path::new("openseat.toml"), &|_| folder.clone());
        assert_eq!(
            config.expect_err("no token").to_string(),
            "openseat.toml:3:1: account \"main\": there is no token: set token_file or token_env, or let systemd pass it with LoadCredential=main.token:/etc/openseat/main.token"
        );
    }
}

/// All config files, including the example, to build broken ones from.
fn corpus() -> Vec<String> {
    let files = files("bad").into_iter().chain(files("good"));
    let texts = files.map(|path| fs::read_to_string(path).expect("the file can be read"));
    texts.chain([EXAMPLE.to_owned()]).collect()
}

/// A file of the corpus with an additional line somewhere.
fn with_line(line: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let file = prop::sample::select(corpus());
    (file, any::<prop::sample::Index>(), line).prop_map(|(file, place, line)| {
        let mut lines: Vec<_> = file.lines().collect();
        lines.insert(place.index(lines.len() + 1), &line);
        lines.join("\n")
    })
}

/// The beginning of one file of the corpus, followed by the end of another.
fn spliced() -> impl Strategy<Value = String> {
    let half = || (prop::sample::select(corpus()), any::<prop::sample::Index>());
    (half(), half()).prop_map(|((head, end), (tail, start))| {
        let head = &head.as_bytes()[..end.index(head.len() + 1)];
        let tail = &tail.as_bytes()[start.index(tail.len() + 1)..];
        String::from_utf8_lossy(&[head, tail].concat()).into_owned()
    })
}

/// Checks what the loader's answer must satisfy for any text, and returns the answer.
fn answer_to(text: &str) -> String {
    match parse(text) {
        Ok(config) => config.warnings.join("\n"),
        Err(ConfigError::Mistakes { problems, more }) => {
            assert!(!problems.is_empty());
            assert!(more == 0 || problems.len() == 100);
            let lines = text.lines().count().max(1) + 1;
            for problem in &problems {
                assert!((1..=lines).contains(&problem.line), "{problem}");
                assert!(
                    !problem.to_string().contains(char::is_control),
                    "{problem:?}"
                );
            }
            ConfigError::Mistakes { problems, more }.to_string()
        }
        Err(other) => panic!("not about a text: {other}"),
    }
}

const CANARY: &str = "c4n4ryc4n4ryc4n4ryc4n4ryc4n4ryc4n4ryc4n4";

/// A key that seems to hold a secret, or to say where one is, with the secret as its value in some form.
fn secret_line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "token",
        "Token",
        "token_file",
        "token_env",
        "bearer_token_file",
        "hook_secret_file",
        "hook_secret",
        "hook_url",
        "bearer_token",
        "api_token",
        "api_key",
        "password",
        "secret",
        "tokn",
        "\"token\"",
        "account.token",
        "account.queue.token",
        "server.token",
        "silo.token",
    ]);
    let form = prop::sample::select(vec![
        "\"@\"",
        "'@'",
        "\"\"\"\n@\"\"\"",
        "@",
        "\"@",
        "@\"",
        "[\"@\"]",
        "{ token = \"@\" }",
        "\"Token @\"",
        "\"./@\"",
        "\"\\q@\"",
        "0x@",
        "2026-11-22@",
        "\"@\" \"@\"",
        "= \"@\"",
        "\"ü@\u{7f}\"",
    ]);
    (key, form).prop_map(|(key, form)| format!("{key} = {}", form.replace('@', CANARY)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_text_makes_the_loader_panic(text in "(?s).{0,200}|[\\[\\]{}='\"a-z0-9.,#\n -]{0,200}") {
        answer_to(&text);
    }

    #[test]
    fn no_mixture_of_files_makes_the_loader_panic(text in spliced()) {
        answer_to(&text);
    }

    #[test]
    fn no_stray_line_makes_the_loader_panic(text in with_line("[a-z_]{0,12} = (\"[^\"\n]{0,20}\"|-?[0-9]{1,25}|[0-9.e+-]{1,9}|\\[\\]|\\{\\}|true|nan|[0-9]{4}-11-22)")) {
        answer_to(&text);
    }

    #[test]
    fn no_message_shows_a_secret(text in with_line(secret_line())) {
        let answer = answer_to(&text);
        prop_assert!(!answer.contains("c4n4ry"), "{}", answer);
    }
}

#[test]
fn a_file_full_of_mistakes_gets_a_short_answer() {
    let text: String = (0..50_000)
        .map(|number| format!("key_{number} = 1\n"))
        .collect();
    let error = parse(&text).expect_err("no such keys").to_string();
    assert_eq!(error.lines().count(), 101);
    // The missing [[account]] is one more mistake.
    assert!(error.ends_with("\nand 49901 more"), "{error}");
}

#[test]
fn deep_nesting_is_rejected_and_does_not_overflow_the_stack() {
    let deep = |part: &str| part.repeat(100_000);
    for text in [
        format!("a = {}", deep("[")),
        format!("a = {}", deep("{a=")),
        format!("{}a = 1", deep("a.")),
        format!("[{}a]", deep("a.")),
        format!("a = {}", deep("{a.a=")),
    ] {
        assert!(
            answer_to(&text).contains("this is not TOML"),
            "{}",
            &text[..20]
        );
    }
}

#[test]
fn the_loader_says_what_is_wrong_with_a_file_that_it_cannot_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = |name: &str, content: Option<&[u8]>| {
        let path = folder.path().join(name);
        if let Some(content) = content {
            fs::write(&path, content).expect("the file can be written");
        }
        Config::load(&path).expect_err(name).to_string()
    };
    assert!(error("missing", None).contains("No such file"));
    assert!(error("binary", Some(b"[server]\n\xff")).ends_with("is not UTF-8 at byte 9"));
    let utf_16 = b"\xff\xfe[\0s\0e\0r\0v\0e\0r\0]\0";
    assert!(
        error("utf-16", Some(utf_16)).ends_with("is in UTF-16; save it as UTF-8, or plain text")
    );
    assert!(
        Config::load(folder.path())
            .expect_err("a folder")
            .to_string()
            .contains("it is a folder")
    );
    let huge = vec![b'#'; 1024 * 1024 + 1];
    assert!(error("huge", Some(&huge)).contains("it has more than 1048576 bytes"));
}

#[test]
fn a_byte_order_mark_before_the_config_is_not_a_mistake() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("openseat.toml");
    let text = "\u{feff}[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_env = \"T\"\n[[account.queue]]\nqueue = 1\n";
    fs::write(&path, text).expect("the file can be written");
    Config::load(&path).expect("a valid file");
}

#[test]
fn the_loader_warns_of_a_token_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let (file, token) = (
        folder.path().join("openseat.toml"),
        folder.path().join("main.token"),
    );
    let text = "[state]\ndir = \"state\"\n[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_file = \"./main.token\"\n[[account.queue]]\nqueue = 1\n";
    fs::write(&file, text).expect("the file can be written");
    fs::write(&token, CANARY).expect("the file can be written");
    for (mode, warnings) in [(0o600, 0), (0o644, 1)] {
        fs::set_permissions(&token, fs::Permissions::from_mode(mode)).expect("chmod");
        let config = Config::load(&file).expect("a valid file");
        assert_eq!(config.warnings.len(), warnings, "{:?}", config.warnings);
        assert_eq!(config.state_dir, Some(folder.path().join("state")));
        assert!(config.accounts[0].upstream.token.read().is_ok());
    }
}
