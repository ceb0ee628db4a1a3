use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{Condvar, Mutex},
};

use super::*;
use crate::config::Config;

const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), content).expect("the file can be written");
    file
}

#[test]
fn a_token_is_read_from_its_file_or_variable() {
    let file = file(format!("Token {KEY}\n").as_bytes());
    let env = |name: &str| (name == "CALLTOOLS_API_TOKEN").then(|| KEY.to_owned());
    for source in [
        TokenSource::File(file.path().to_owned()),
        TokenSource::Credential(file.path().to_owned()),
        TokenSource::Env("CALLTOOLS_API_TOKEN".to_owned()),
    ] {
        let token = source.read_with(&env).expect("a token");
        assert_eq!(token.digest(), Digest::new(KEY.as_bytes()));
    }
}

#[test]
fn a_missing_token_says_where_openseat_looked() {
    let error = |source: TokenSource| source.read_with(&|_| None).expect_err("none").to_string();
    assert_eq!(
        error(TokenSource::Env("OTHER".to_owned())),
        "the environment variable OTHER is not set"
    );
    let missing = error(TokenSource::Credential("/nowhere/main.token".into()));
    assert!(
        missing.starts_with("systemd's credential /nowhere/main.token is not there: "),
        "{missing}"
    );
}

#[test]
fn a_file_that_openseat_may_not_read_says_what_to_do() {
    let fault = |kind: io::ErrorKind| {
        let fault = SecretFault::Unreadable(FileError::System(kind.into()));
        SecretError::at("the password file /etc/a".to_owned(), fault).to_string()
    };
    let refused = fault(io::ErrorKind::PermissionDenied);
    assert!(
        refused.starts_with("the password file /etc/a cannot be read: permission denied; let systemd pass it with LoadCredential=, or make it readable"),
        "{refused}"
    );
    let missing = fault(io::ErrorKind::NotFound);
    assert!(missing.contains("; check the path, or write"), "{missing}");
    assert!(!fault(io::ErrorKind::TimedOut).contains(';'));
}

#[test]
fn an_invalid_token_is_rejected_without_showing_it() {
    for (content, expected) in [
        (b"".to_vec(), "is empty"),
        (b"0123 4567".to_vec(), "white space"),
        (b"01234567\xff".to_vec(), "is not UTF-8 at byte 8"),
        (b"\xff\xfe4\x005\x006\x007\x00".to_vec(), "is in UTF-16"),
        (b"0123\x004567".to_vec(), "a control character"),
        (vec![b'4'; 3000], "more than 512 characters"),
        (vec![b'4'; 30_000], "more than 16384 bytes"),
    ] {
        let file = file(&content);
        let source = TokenSource::File(file.path().to_owned());
        let error = source.read().expect_err("no token").to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("4567"), "{error}");
    }
}

#[test]
fn a_token_is_read_behind_a_byte_order_mark() {
    let file = file(format!("\u{feff}{KEY}\r\n").as_bytes());
    let token = TokenSource::File(file.path().to_owned()).read();
    assert_eq!(
        token.expect("a token").digest(),
        Digest::new(KEY.as_bytes())
    );
    let file = file_of_bearers("\u{feff}0123456789abcdef\n");
    let tokens = BearerTokens::read(file.path()).expect("a token");
    assert!(tokens.open_for("0123456789abcdef"));
}

fn file_of_bearers(text: &str) -> tempfile::NamedTempFile {
    file(text.as_bytes())
}

#[test]
fn a_bearer_token_is_long_and_matches_only_itself() {
    let file = file(b"bearer 0123456789abcdef\n");
    let token = BearerTokens::read(file.path()).expect("a token");
    assert!(token.open_for("0123456789abcdef"));
    for wrong in [
        "",
        "0123456789abcde",
        "0123456789abcdeF",
        "0123456789abcdef ",
    ] {
        assert!(!token.open_for(wrong), "{wrong:?}");
    }
    assert!(matches!(
        BearerTokens::parse("0123456789abcde"),
        Err(SecretFault::TooShort)
    ));
}

#[test]
fn each_line_of_a_bearer_file_is_valid_and_the_first_is_sent() {
    let text = "\n old0old0old0old0 \r\n\nBearer new0new0new0new0\n";
    let tokens = BearerTokens::parse(text).expect("two tokens");
    assert!(tokens.open_for("old0old0old0old0") && tokens.open_for("new0new0new0new0"));
    for wrong in [
        "",
        "old0old0old0old0\nnew0new0new0new0",
        "third0third0third",
    ] {
        assert!(!tokens.open_for(wrong), "{wrong:?}");
    }
    let file = file_of_bearers(text);
    let sent = BearerTokens::authorization(file.path()).expect("a token");
    assert_eq!(sent, "Bearer old0old0old0old0");
    let error = |text: &str| BearerTokens::parse(text).expect_err("no token").to_string();
    assert!(error(" \n\t\n").contains("is empty"));
    let short = error("old0old0old0old0\nshort\n");
    assert!(
        short.contains("line 2: that line has fewer than 16"),
        "{short}"
    );
    let inner = error("old0old0old0old0 x\nnew0new0new0new0");
    assert!(
        inner.contains("line 1: that line has white space"),
        "{inner}"
    );
    assert!(error(&"0123456789abcdef\n".repeat(17)).contains("more than 16 tokens"));
}

#[test]
fn a_comment_in_a_bearer_file_is_no_token() {
    let text = "\u{feff}#for-callgrid-since-May\n  # for everyone else: short\nnew0new0new0new0\n";
    let file = file_of_bearers(text);
    let tokens = BearerTokens::read(file.path()).expect("one token");
    assert!(tokens.open_for("new0new0new0new0"));
    assert!(!tokens.open_for("#for-callgrid-since-May"));
    let sent = BearerTokens::authorization(file.path()).expect("a token");
    assert_eq!(sent, "Bearer new0new0new0new0");
    let quoted = BearerTokens::parse("'#0123456789abcdef'").expect("a token");
    assert!(quoted.open_for("#0123456789abcdef"));
    // Comments are not counted, but their lines are.
    let many = "#0123456789abcdef\n".repeat(2 * MAX_TOKENS);
    let error = |text: &str| BearerTokens::parse(text).expect_err("no token").to_string();
    let short = error(&format!("{many}short\n0123456789abcdef"));
    assert!(short.contains("line 33: that line has fewer"), "{short}");
    let none = error(&many);
    assert!(
        none.contains("has no token: a line that begins with '#'"),
        "{none}"
    );
    let file = file_of_bearers(&many);
    let error = BearerTokens::authorization(file.path()).expect_err("no token");
    assert!(error.to_string().ends_with(&none), "{error}");
}

#[test]
fn a_file_that_others_may_read_causes_a_warning() {
    let file = file(KEY.as_bytes());
    for (mode, warns) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).expect("chmod");
        let warnings = exposures([file.path()].into_iter());
        assert_eq!(!warnings.is_empty(), warns, "{mode:o}: {warnings:?}");
    }
    // `chmod 600` would lock everybody out of a folder.
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
    assert!(exposures([folder.path()].into_iter()).is_empty());
    let missing = Path::new("/nowhere/main.token");
    assert!(exposures([missing].into_iter()).is_empty());
}

#[test]
fn files_that_hang_are_looked_at_at_the_same_time() {
    const HANGING: usize = 8;
    // How many are at work, and whether all have been.
    let at_work = Arc::new((Mutex::new(0), Condvar::new()));
    let look = move |file: &usize| {
        let (count, all) = &*at_work;
        let mut begun = count.lock().expect("no panic");
        *begun += 1;
        all.notify_all();
        let deadline = Duration::from_secs(20);
        let waited = all.wait_timeout_while(begun, deadline, |begun| *begun < HANGING);
        assert!(!waited.expect("no panic").1.timed_out(), "one at a time");
        *file
    };
    let files: Vec<_> = (0..HANGING).collect();
    assert_eq!(all_at_once(files.clone(), look), files);
    let many: Vec<_> = (0..10 * AT_ONCE).collect();
    assert_eq!(all_at_once(many.clone(), |file: &usize| *file), many);
}

#[test]
fn only_those_who_read_secrets_look_at_them() {
    let token = file(KEY.as_bytes());
    fs::set_permissions(token.path(), fs::Permissions::from_mode(0o644)).expect("chmod");
    let text = format!(
        "[state]\ndir = false\n[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_file = {:?}\nqueue = [{{ queue = 1 }}]\n",
        token.path()
    );
    let config = file(text.as_bytes());
    let warnings = |loaded: Result<Config, _>| loaded.expect("a good config").warnings.len();
    assert_eq!(warnings(Config::load_beside_the_service(config.path())), 0);
    assert_eq!(warnings(Config::load(config.path())), 1);
}
