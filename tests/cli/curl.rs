//! `openseat check --curl`: commands to paste into a shell.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use tokio::task::spawn_blocking;

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn curl_commands_ask_the_same_and_no_token_is_needed_to_print_them() {
    let fixture = Fixture::open().await;
    let queues = "\nqueue = \"Zoë's $HOME\"\n[[account.queue]]\nqueue = 5450\n";
    let account = fixture.account("main", queues);
    fixture.configure(&account);
    fs::remove_file(fixture.path("main.token")).expect("the file exists");
    let output = fixture.check(&["--curl"]).await.exits(0);
    let base = fixture.calltools.serving.base_url();
    let expected = format!(
        r#": 'The token of account main goes into CALLTOOLS_API_TOKEN first: read -rs CALLTOOLS_API_TOKEN'

: 'main/Zoë'\''s $HOME'
QUEUE_ID=$(curl -sS -H "Authorization: Token $CALLTOOLS_API_TOKEN" '{base}queues/?page_size=250' |
  jq --arg name 'Zoë'\''s $HOME' '.results[] | select(.name == $name) | .id')
curl -sS -H "Authorization: Token $CALLTOOLS_API_TOKEN" '{base}agentstatuses/?queue='"$QUEUE_ID"'&page_size=250'

: 'main/5450'
curl -sS -H "Authorization: Token $CALLTOOLS_API_TOKEN" '{base}agentstatuses/?queue='5450'&page_size=250'

: 'Ids are found with jq. If an answer has a next that is not null, there are more than 250 rows: add &page=2, and so on.'
"#
    );
    assert_eq!(output.out, expected);
    assert_eq!(fixture.calltools.simulator.requests(), 0);
    assert!(!fixture.path("state").exists(), "nothing is spent");
}

/// Types a script into an interactive shell in which `curl` and `jq` only print their arguments.
async fn typed(fixture: &Fixture, shell: &str, script: &str) -> String {
    fs::create_dir_all(fixture.path("bin")).expect("a folder");
    for (name, body) in [
        ("curl", "printf '<%s>' \"$@\" >> called"),
        ("jq", "echo 77"),
    ] {
        let path = fixture.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("the file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("chmod");
    }
    let _ = fs::remove_file(fixture.path("called"));
    fs::write(fixture.path("typed"), format!("{script}\nexit\n")).expect("the file can be written");
    let mut command = Command::new(shell);
    // Without the user's start-up files and without a prompt.
    match shell {
        "zsh" => command.args(["-f", "-i"]),
        "bash" => command.args(["--norc", "-i"]),
        _ => command.arg("-i"),
    };
    let input = fs::File::open(fixture.path("typed")).expect("the file exists");
    let path = format!("{}:/usr/bin:/bin", fixture.path("bin").display());
    command
        .current_dir(fixture.home.path())
        .env_clear()
        .env("PATH", path)
        .env("HOME", fixture.home.path())
        .env("CALLTOOLS_API_TOKEN_MAIN", "one")
        .env("CALLTOOLS_API_TOKEN_LAB", "two")
        .stdin(input);
    let output = spawn_blocking(move || command.output())
        .await
        .expect("no panic");
    output.unwrap_or_else(|error| panic!("{shell}: {error}"));
    fs::read_to_string(fixture.path("called")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_commands_can_be_pasted_into_a_shell_and_send_each_token_to_its_own_silo() {
    assert_pasting_works("sh").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs zsh, bash and dash"]
async fn curl_commands_can_be_pasted_into_other_shells() {
    for shell in ["zsh", "bash", "dash"] {
        assert_pasting_works(shell).await;
    }
}

async fn assert_pasting_works(shell: &str) {
    let fixture = Fixture::open().await;
    let main = fixture.account("main", "\nqueue = \"it's! `date` #1\"\n");
    let lab = fixture.account("lab", "\nqueue = 5450\n");
    let lab = lab.replace("127.0.0.1", "localhost");
    fixture.configure(&format!("{main}{lab}"));
    let output = fixture.check(&["--curl"]).await.exits(0);
    assert!(
        !output
            .out
            .lines()
            .any(|line| line.trim_start().starts_with('#')),
        "{output:?}"
    );
    let base = fixture.calltools.serving.base_url();
    let of_lab = base.replace("127.0.0.1", "localhost");
    let expected = [
        format!("<-sS><-H><Authorization: Token one><{base}queues/?page_size=250>"),
        format!("<-sS><-H><Authorization: Token one><{base}agentstatuses/?queue=77&page_size=250>"),
        format!(
            "<-sS><-H><Authorization: Token two><{of_lab}agentstatuses/?queue=5450&page_size=250>"
        ),
    ];
    let called = typed(&fixture, shell, &output.out).await;
    assert_eq!(called, expected.concat(), "{shell}");
}
