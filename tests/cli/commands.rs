//! The commands, except `status`.

use std::{
    fs,
    num::NonZeroU32,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use openseat::{
    budget::{Budget, BudgetOwner, Ledger, Purpose},
    clock::{Clock, SystemClock},
    daemon,
    simulator::{Endpoint, InjectedFault, QueueAction, Quirks, Settings, Simulator, WorldSettings},
};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::support::{CallTools, Home};

/// The account's token: no output may have it in it.
pub const CANARY: &str = "canary0that0must0not0be0seen0anywhere000";

/// What is a token to nobody.
pub const WRONG: &str = "another0canary0that0must0not0be0seen0000";

const COLOUR: &str = "\x1b[";

/// One account with one queue that has three people: one is available, one is on a call, one is available elsewhere.
pub struct Office {
    pub calltools: CallTools,
    pub home: Home,
    queue: u64,
}

impl Office {
    pub async fn open() -> Self {
        let simulator = Simulator::new(
            Settings {
                token: CANARY.to_owned(),
                ..Settings::new(WorldSettings::still(0, 0))
            },
            Arc::new(SystemClock::new()),
        );
        let queue = simulator.world(|world| {
            let queue = world.add_queue("sales-queue");
            for name in ["Ada Lovelace", "Blaise Pascal", "Carl Gauß"] {
                world.add_agent(name, &[queue]);
            }
            let agents = world.agents_of(queue);
            let available = world.status_named("Available").expect("a usual status");
            let busy = world.status_named("On a Call").expect("a usual status");
            for (agent, status, logged_in) in
                [(0, available, true), (1, busy, true), (2, available, false)]
            {
                assert!(world.set_status(&agents[agent], status));
                assert!(world.set_logged_in(queue, &agents[agent], logged_in));
            }
            queue
        });
        let office = Self {
            calltools: CallTools::serve(simulator).await,
            home: Home::new(),
            queue,
        };
        office.home.set_token("main", CANARY);
        office.configure(&office.account("main", "\nqueue = \"sales-queue\"\n"));
        office
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// An `[[account]]` and its only queue.
    fn account(&self, name: &str, queue: &str) -> String {
        format!(
            "[[account]]\nname = \"{name}\"\nbase_url = \"{}\"\ntoken_file = \"./{name}.token\"\n[[account.queue]]{queue}",
            self.calltools.serving.base_url()
        )
    }

    /// With a state folder.
    fn configure(&self, accounts: &str) {
        let text = format!("[state]\ndir = \"state\"\n{accounts}");
        fs::write(self.path("openseat.toml"), text).expect("it can be written");
    }

    async fn check(&self, arguments: &[&str]) -> Said {
        self.run(&[&["check"], arguments].concat()).await
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        run(self.home.path(), arguments, &[]).await
    }

    async fn shell(&self, script: &str) -> Said {
        let script = script.replace("openseat ", concat!(env!("CARGO_BIN_EXE_openseat"), " "));
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        say(command, self.home.path(), &[]).await
    }
}

/// What the program printed, in which no token is.
#[derive(Debug)]
struct Said {
    out: String,
    err: String,
    code: i32,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    #[track_caller]
    fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.out.contains(word), "{word:?} is not in:\n{}", self.out);
        }
        self
    }

    #[track_caller]
    fn complains(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in:\n{}", self.err);
        }
        self
    }
}

async fn run(folder: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
    command.args(arguments);
    say(command, folder, env).await
}

async fn say(mut command: Command, folder: &Path, env: &[(&str, &str)]) -> Said {
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(env.iter().copied());
    // The simulator lives in this runtime, and has to answer meanwhile.
    let output = spawn_blocking(move || command.output()).await;
    let Output {
        stdout,
        stderr,
        status,
    } = output.expect("no panic").expect("it runs");
    let said = Said {
        out: String::from_utf8(stdout).expect("UTF-8"),
        err: String::from_utf8(stderr).expect("UTF-8"),
        code: status.code().expect("no signal ended it"),
    };
    for secret in [CANARY, WRONG] {
        assert!(!said.out.contains(secret) && !said.err.contains(secret));
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn check_shows_the_agents_the_count_the_decision_and_the_cost() {
    let office = Office::open().await;
    let said = office.check(&[]).await.exits(0);
    let rows: Vec<_> = said.out.lines().collect();
    let verdict = "main/sales-queue  accept  1 seat is more than the threshold of 0";
    assert_eq!((rows[0], rows.last()), (verdict, Some(&verdict)));
    let rows = &rows[2..];
    assert_eq!(rows[0], format!("main/sales-queue  id {}", office.queue));
    // Seats first, and then who is logged in.
    for (row, start) in [
        (2, "   agent          status     available  logged in "),
        (4, "●  Ada Lovelace   Available  yes        yes "),
        (5, "   Blaise Pascal  On a Call  no         yes "),
        (6, "   Carl Gauß      Available  yes        no "),
    ] {
        assert!(rows[row].starts_with(start), "{}", said.out);
    }
    let said = said.says(&[
        "\naccept  1 seat is more than the threshold of 0\n",
        "\nmain: 3 requests for this check; 3 of 1000 spent in the last hour, 997 left\n",
    ]);
    assert_eq!(said.err, "");
    assert_eq!(office.calltools.simulator.requests(), 3);
    for file in fs::read_dir(office.path("state")).expect("the ledger is there") {
        let bytes = fs::read(file.expect("a file").path()).expect("it can be read");
        let mut windows = bytes.windows(CANARY.len());
        assert!(!windows.any(|window| window == CANARY.as_bytes()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reject_is_no_failure() {
    let office = Office::open().await;
    office.configure(&office.account("main", "\nqueue = \"sales-queue\"\nthreshold = 1\n"));
    let said = office.check(&["sales-queue"]).await.exits(0);
    said.says(&["\nreject  1 seat is not more than the threshold of 1\n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_decision_the_agents_the_requests_and_the_budget() {
    let office = Office::open().await;
    let json = office.check(&["--json"]).await.exits(0).json();
    assert_eq!(json["ok"], true);
    let queue = &json["queues"][0];
    for (key, expected) in [
        ("queue", Value::from("sales-queue")),
        ("queue_id", office.queue.into()),
        ("account", "main".into()),
        ("accept", true.into()),
        ("reason", "seats".into()),
        ("count", 1.into()),
        ("threshold", 0.into()),
        ("ok", true.into()),
        ("name", "sales-queue".into()),
        ("complete", true.into()),
        ("criteria", Value::Null),
        ("fault", Value::Null),
        ("requests", 1.into()),
    ] {
        assert_eq!(queue[key], expected, "{key}");
    }
    for key in ["as_of", "valid_until", "age_ms", "took_ms"] {
        assert!(!queue[key].is_null(), "{key}");
    }
    let seats = queue["agents"].as_array().expect("agents").iter();
    let seats: Vec<_> = seats
        .map(|agent| {
            (
                agent["name"].as_str().expect("a name"),
                agent["seat"] == true,
            )
        })
        .collect();
    assert_eq!(
        seats,
        [
            ("Ada Lovelace", true),
            ("Blaise Pascal", false),
            ("Carl Gauß", false)
        ]
    );
    let budget = serde_json::json!({
        "requests_per_hour": 1000, "reserve": 50, "used": 3, "left": 997, "shared": true,
        "throttled_until": null,
    });
    assert_eq!(queue["budget"], budget);
    let account = serde_json::json!({
        "account": "main", "requests": 3, "budget": budget, "statuses_fault": null,
    });
    assert_eq!(json["accounts"], serde_json::json!([account]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_queue_that_fails_takes_no_other_with_it() {
    let office = Office::open().await;
    let missing = "[[account.queue]]\nqueue = \"Sales-Queue\"\n";
    let foreign = "[[account.queue]]\nqueue = 999\n";
    let account = office.account("main", "\nqueue = \"sales-queue\"\n");
    office.configure(&format!("{account}{missing}{foreign}"));
    let said = office.check(&[]).await.exits(1);
    said.says(&[
        "accept  1 seat is more than",
        "unknown  the account has no queue named \"Sales-Queue\" (no_such_queue); with nothing else to go by, the daemon would reject",
        "What to do: queue names are case-sensitive; did you mean \"sales-queue\"?",
        "unknown  the account has no queue with the id 999 (no_such_queue)",
        "What to do: compare the id with",
        "main: 4 requests for this check",
    ]);
    let json = office
        .check(&["--json", "Sales-Queue"])
        .await
        .exits(1)
        .json();
    assert_eq!(json["ok"], false);
    assert_eq!(json["queues"][0]["count"], Value::Null);
    assert_eq!(json["queues"][0]["agents"], Value::Null);
    assert_eq!(json["queues"][0]["fault"]["kind"], "no_such_queue");
    // What was asked for failed; what was not, does not matter.
    office.check(&["sales-queue"]).await.exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_found_out_with_one_request_and_harms_no_other_account() {
    let office = Office::open().await;
    office.home.set_token("lab", WRONG);
    let lab = office.account("lab", "\nqueue = \"sales-queue\"\n");
    let lab = format!("{lab}[[account.queue]]\nqueue = 77\n");
    let main = office.account("main", &format!("\nqueue = {}\n", office.queue));
    office.configure(&format!("{lab}{main}"));
    let said = office.check(&[]).await.exits(1);
    let said = said.says(&[
        "unknown  CallTools does not accept the token (bad_token)",
        "What to do: check that the token was copied whole",
        "lab: 1 request for this check; 1 of 1000",
        "accept  1 seat is more than",
        "main: 2 requests for this check; 2 of 1000",
    ]);
    // Both queues say so, at the beginning, in the middle and at the end.
    assert_eq!(said.out.matches("bad_token").count(), 6, "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_on_the_way_is_said_with_what_to_do() {
    let office = Office::open().await;
    for (fault, endpoint, said, requests) in [
        (
            InjectedFault::Forbidden,
            Endpoint::AgentStatuses,
            "What to do: ask a CallTools administrator",
            3,
        ),
        (
            InjectedFault::WebPage(200),
            Endpoint::Queues,
            "What to do: check the silo or base_url: a web page",
            2,
        ),
        (
            InjectedFault::WebPage(503),
            Endpoint::AgentStatuses,
            "(upstream_down)",
            3,
        ),
        (
            InjectedFault::Redirect("http://elsewhere.example/".to_owned()),
            Endpoint::Queues,
            "What to do: use the silo",
            1,
        ),
        (
            InjectedFault::Throttled(None),
            Endpoint::Statuses,
            "(throttled)",
            2,
        ),
    ] {
        // The pause that a 429 asks for is remembered.
        let _ = fs::remove_dir_all(office.path("state"));
        office.calltools.simulator.clear_faults();
        office
            .calltools
            .simulator
            .inject(usize::MAX, Some(endpoint), fault.clone());
        let before = office.calltools.simulator.requests();
        office.check(&[]).await.exits(1).says(&[said]);
        assert_eq!(
            office.calltools.simulator.requests() - before,
            requests,
            "{fault:?}"
        );
    }
    // The last one is still in force.
    let before = office.calltools.simulator.requests();
    let said = office.check(&[]).await.exits(1);
    said.says(&[
        "unknown  others spend from this account, so CallTools asked for a pause (429); the next one may be sent in ",
    ]);
    assert_eq!(office.calltools.simulator.requests(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_that_cannot_be_read_are_a_note_where_names_tell_enough() {
    let office = Office::open().await;
    office.calltools.simulator.quirks(|quirks| {
        *quirks = Quirks {
            statuses_forbidden: true,
            agent_status: openseat::simulator::StatusForm::Name,
            ..Quirks::default()
        }
    });
    office.check(&[]).await.exits(0).says(&[
        "accept  1 seat is more than",
        "Note: statuses/ could not be read",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_hour_is_said_with_the_wait_and_nothing_is_sent() {
    let office = Office::open().await;
    let account = office.account("main", "\nqueue = \"sales-queue\"\n");
    let account = account.replace(
        "[[account.queue]]",
        "requests_per_hour = 2\nreserve = 1\n[[account.queue]]",
    );
    office.configure(&account);
    // Another process has spent it: the same account in the same ledger.
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let path = office.path("state").join(daemon::LEDGER_FILE);
    let ledger = Arc::new(Ledger::keep(&path, Arc::clone(&clock)).expect("a ledger"));
    let owner = BudgetOwner {
        account: "main".to_owned(),
        identity: String::new(),
    };
    let limit = NonZeroU32::new(2).expect("two");
    let budget = Budget::new(Arc::clone(&ledger), owner, limit, 1, clock);
    for _ in 0..2 {
        let permit = budget.permit(Purpose::OnDemand).await;
        permit.expect("room").answered();
    }
    ledger.finish(Duration::from_secs(20));
    let said = office.check(&[]).await.exits(1);
    said.says(&[
        "unknown  the account's requests for this hour are spent; the next one may be sent in 36",
        " s (budget_spent)",
        "What to do: wait, or poll fewer queues",
        "main: 0 requests for this check; 2 of 2 spent in the last hour, 0 left",
    ]);
    assert_eq!(office.calltools.simulator.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_state_folder_the_daemons_requests_are_not_known() {
    let office = Office::open().await;
    let account = office.account("main", "\nqueue = \"sales-queue\"\n");
    fs::write(office.path("openseat.toml"), account).expect("it can be written");
    let said = office.check(&[]).await.exits(0);
    said.says(&[
        "997 left as far as is known here: without [state] dir a daemon's requests are not",
    ])
    .complains(&["warning: no [state] dir is set"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn own_criteria_show_what_they_looked_at() {
    let office = Office::open().await;
    let queue = |rule: &str| {
        office.account(
            "main",
            &format!("\nqueue = \"sales-queue\"\n[account.queue.accept]\n{rule}"),
        )
    };
    office.configure(&queue(
        "field = \"results[?@.status == 'Available']\"\ncondition = \"greater_than\"\nvalue = 1\n",
    ));
    let said = office.check(&[]).await.exits(0).says(&[
        "field      results[?@.status == 'Available']\n",
        "measure    count\n",
        "condition  greater_than 1\n",
        "measured   2\n",
        "selected   2 nodes\n",
        "accept  the condition holds",
    ]);
    assert!(
        !said.out.contains('●'),
        "nobody can tell who counts: {}",
        said.out
    );

    // A field that no row has.
    office.configure(&queue(
        "field = \"results[*].queue_loged_in\"\ncondition = \"greater_than\"\n",
    ));
    office.check(&[]).await.exits(0).says(&[
        "measured   0\n",
        "reject  the condition does not hold",
        "Note: the path selects nothing in 3 rows: nobody fits it, or a field is misspelt; a row has ",
        ", queue_logged_in, ",
    ]);

    // A type that does not fit is a failure.
    office.configure(&queue(
        "field = \"results[0].full_name\"\nmeasure = \"value\"\ncondition = \"greater_than\"\n",
    ));
    let said = office.check(&[]).await.exits(1);
    said.says(&["unknown  the criteria do not fit what CallTools sent: `results[0].full_name` is text where a number is needed"]);
    let json = office.check(&["--json"]).await.exits(1).json();
    assert_eq!(json["queues"][0]["criteria"]["selected"], 1);
    assert_eq!(json["queues"][0]["criteria"]["measure"], "value");
    assert_eq!(json["queues"][0]["agents"][0]["seat"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_statuses_can_be_called_anything() {
    let office = Office::open().await;
    office.calltools.simulator.world(|world| {
        let agent = world.add_agent("\x1b[31mRed\u{202e}", &[office.queue]);
        let status = world.add_status("Lunch\nbreak", QueueAction::SetNotReady);
        world.set_status(&agent, status);
    });
    let said = office.check(&[]).await.exits(0);
    let said = said.says(&["\u{fffd}[31mRed\u{fffd}", "Lunch\u{fffd}break"]);
    assert!(!said.out.contains(COLOUR) && !said.out.contains('\u{202e}'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_several_pages_costs_as_many_requests() {
    let office = Office::open().await;
    office.calltools.simulator.world(|world| {
        for number in 0..600 {
            world.add_agent(&format!("Agent {number}"), &[office.queue]);
        }
    });
    let json = office.check(&["--json"]).await.exits(0).json();
    assert_eq!(json["queues"][0]["requests"], 3);
    assert_eq!(
        json["queues"][0]["agents"].as_array().map(Vec::len),
        Some(603)
    );
    // More than a pipe holds, to readers who take a line or nothing.
    for reader in ["head -1", "true"] {
        for command in ["check --json", "check", "completions zsh", "plan --json"] {
            let said = office
                .shell(&format!("openseat {command} | {reader}"))
                .await;
            assert_eq!(said.err, "", "{command} | {reader}");
        }
    }
    for command in [
        "check",
        "check --json",
        "check --curl",
        "plan",
        "completions bash",
    ] {
        office
            .shell(&format!("openseat {command} >&-"))
            .await
            .exits(0);
        office
            .shell(&format!("openseat {command} 2>&- >/dev/null"))
            .await
            .exits(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_and_the_spinner_are_for_terminals() {
    let office = Office::open().await;
    for arguments in [&["check"] as &[&str], &["plan"], &["check", "xyz"]] {
        let said = office.run(arguments).await;
        assert!(
            !said.out.contains(COLOUR) && !said.err.contains(COLOUR),
            "{said:?}"
        );
        assert!(!said.err.contains("asking"), "{said:?}");
        let forced = [("CLICOLOR_FORCE", "1")];
        let said = run(office.home.path(), arguments, &forced).await;
        assert!(
            said.out.contains(COLOUR) || arguments.contains(&"xyz"),
            "{said:?}"
        );
        let both = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")];
        let said = run(office.home.path(), arguments, &both).await;
        assert!(!said.out.contains(COLOUR), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_commands_ask_the_same_and_no_token_is_needed_to_print_them() {
    let office = Office::open().await;
    let queues = "\nqueue = \"Zoë's $HOME\"\n[[account.queue]]\nqueue = 5450\n";
    let account = office.account("main", queues);
    office.configure(&account);
    fs::remove_file(office.path("main.token")).expect("it was there");
    let said = office.check(&["--curl"]).await.exits(0);
    let base = office.calltools.serving.base_url();
    let expected = format!(
        r#": 'The token of account main goes into CALLTOOLS_API_TOKEN first: read -rs CALLTOOLS_API_TOKEN'

: 'main/Zoë'\''s $HOME'
QUEUE_ID=$(curl -sS -H "Authorization: Token $CALLTOOLS_API_TOKEN" '{base}queues/?page_size=250' |
  jq --arg name 'Zoë'\''s $HOME' '.results[] | select(.name == $name) | .id')
curl -sS -H "Authorization: Token $CALLTOOLS_API_TOKEN" '{base}agentstatuses/?queue='"$QUEUE_ID"'&page_size=250'

: 'main/5450'
curl -sS -H "Authorization: Token $CALLTOOLS_API_TOKEN" '{base}agentstatuses/?queue='5450'&page_size=250'

: 'Ids are found with jq. Where an answer has a next that is not null, there are more than 250 rows: add &page=2, and so on.'
"#
    );
    assert_eq!(said.out, expected);
    assert_eq!(office.calltools.simulator.requests(), 0);
    assert!(!office.path("state").exists(), "nothing is spent");
}

/// Types a script into an interactive shell, whose `curl` and `jq` only say what they were called with.
async fn typed(office: &Office, shell: &str, script: &str) -> String {
    fs::create_dir_all(office.path("bin")).expect("a folder");
    for (name, body) in [
        ("curl", "printf '<%s>' \"$@\" >> called"),
        ("jq", "echo 77"),
    ] {
        let path = office.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("it can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("chmod");
    }
    let _ = fs::remove_file(office.path("called"));
    fs::write(office.path("typed"), format!("{script}\nexit\n")).expect("it can be written");
    let mut command = Command::new(shell);
    // Neither the user's own start-up files nor a prompt.
    match shell {
        "zsh" => command.args(["-f", "-i"]),
        "bash" => command.args(["--norc", "-i"]),
        _ => command.arg("-i"),
    };
    let input = fs::File::open(office.path("typed")).expect("it was written");
    let path = format!("{}:/usr/bin:/bin", office.path("bin").display());
    command
        .current_dir(office.home.path())
        .env_clear()
        .env("PATH", path)
        .env("HOME", office.home.path())
        .env("CALLTOOLS_API_TOKEN_MAIN", "one")
        .env("CALLTOOLS_API_TOKEN_LAB", "two")
        .stdin(input);
    let output = spawn_blocking(move || command.output())
        .await
        .expect("no panic");
    output.unwrap_or_else(|error| panic!("{shell}: {error}"));
    fs::read_to_string(office.path("called")).unwrap_or_default()
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
    let office = Office::open().await;
    let main = office.account("main", "\nqueue = \"it's! `date` #1\"\n");
    let lab = office.account("lab", "\nqueue = 5450\n");
    let lab = lab.replace("127.0.0.1", "localhost");
    office.configure(&format!("{main}{lab}"));
    let said = office.check(&["--curl"]).await.exits(0);
    assert!(
        !said
            .out
            .lines()
            .any(|line| line.trim_start().starts_with('#')),
        "{said:?}"
    );
    let base = office.calltools.serving.base_url();
    let of_lab = base.replace("127.0.0.1", "localhost");
    let expected = [
        format!("<-sS><-H><Authorization: Token one><{base}queues/?page_size=250>"),
        format!("<-sS><-H><Authorization: Token one><{base}agentstatuses/?queue=77&page_size=250>"),
        format!(
            "<-sS><-H><Authorization: Token two><{of_lab}agentstatuses/?queue=5450&page_size=250>"
        ),
    ];
    let called = typed(&office, shell, &said.out).await;
    assert_eq!(called, expected.concat(), "{shell}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_printed_is_told_and_is_a_failure() {
    let office = Office::open().await;
    for arguments in [
        &["check"] as &[&str],
        &["check", "--json"],
        &["check", "--curl"],
        &["plan"],
        &["plan", "--json"],
        &["completions", "bash"],
        &["--help"],
        &["check", "--help"],
        &["--version"],
        &["demo", "--listen", "127.0.0.1:0"],
        &["simulate", "--listen", "127.0.0.1:0"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
        let full = fs::File::create("/dev/full").expect("Linux has it");
        let folder = office.home.path().to_owned();
        command.args(arguments).env_clear().current_dir(folder);
        command
            .stdout(full)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn().expect("it runs");
        let output = spawn_blocking(move || child.wait_with_output()).await;
        let output = output.expect("no panic").expect("it runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
        assert!(
            err.contains("standard output cannot be written: No space left on device"),
            "{arguments:?}: {err}"
        );
        assert_eq!(
            err.matches("No space left").count(),
            1,
            "{arguments:?}: {err}"
        );
    }
    // Who has read enough has been told enough.
    let said = office.shell("openseat completions bash | true").await;
    assert!(said.err.is_empty(), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_levels_are_checked_with_a_suggestion() {
    let office = Office::open().await;
    let said = office.run(&["--log-level", "debgu", "plan"]).await.exits(2);
    said.complains(&["there is no log level \"debgu\"; did you mean debug?"]);
    for (level, code) in [
        ("WARNING", 0),
        ("Openseat=debug", 0),
        ("warnning", 2),
        ("", 0),
    ] {
        let said = run(office.home.path(), &["plan"], &[("OPENSEAT_LOG", level)]).await;
        let said = said.exits(code);
        assert_eq!(
            said.err.contains("did you mean warn"),
            code == 2,
            "{said:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_anything_from_being_asked_exits_with_2() {
    let office = Office::open().await;
    let said = office.check(&["sales-quene", "xyz"]).await.exits(2);
    let said = said.complains(&[
        "openseat: no queue \"sales-quene\" is configured; did you mean sales-queue?",
        "no queue \"xyz\" is configured\nconfigured are main/sales-queue",
    ]);
    assert_eq!(said.out, "");

    fs::remove_file(office.path("main.token")).expect("it was there");
    let said = office.check(&[]).await.exits(2);
    said.complains(&[
        "openseat: account \"main\": the token file ",
        "main.token cannot be read",
    ]);

    let wrong = office.account(
        "main",
        "\nqueue = \"a\"\ntreshold = 1\n[[account.queue]]\nmax_age = 5\n",
    );
    office.configure(&wrong);
    for command in ["check", "plan"] {
        let said = office.run(&[command]).await.exits(2);
        said.complains(&[
            "`treshold`",
            "did you mean `threshold`?",
            "`max_age`",
            "`queue` is missing",
        ]);
        office
            .run(&[command, "--config", "nowhere.toml"])
            .await
            .exits(2)
            .complains(&["nowhere.toml"]);
    }
    assert_eq!(office.calltools.simulator.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_that_cannot_be_used_is_a_failure_with_advice() {
    let office = Office::open().await;
    fs::write(office.path("state"), "a file").expect("it can be written");
    let said = office.check(&[]).await.exits(1);
    said.complains(&["run it as the daemon's user", "the state folder"]);
    assert_eq!(office.calltools.simulator.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_shows_what_to_expect_without_asking_anybody() {
    let office = Office::open().await;
    let queues = "\nqueue = \"sales-queue\"\nmax_age = \"11s\"\n[[account.queue]]\nqueue = 5450\n";
    let budget = "requests_per_hour = 1000\nreserve = 100\n[[account.queue]]";
    let account = office
        .account("main", queues)
        .replacen("[[account.queue]]", budget, 1);
    office.configure(&account);
    fs::remove_file(office.path("main.token")).expect("it was there");
    let said = office.run(&["plan"]).await.exits(0);
    let expected = "\
main: 1000 requests an hour, 100 of them kept back; polling has 900, one every 4 s

queue        pages  statuses every  members every  mean age  worst age  max_age          fits
──────────────────────────────────────────────────────────────────────────────────────────────
sales-queue      1             8 s            8 s     4.5 s      8.5 s  11 s             yes
5450             1             8 s            8 s     4.5 s      8.5 s  1 min (default)  yes

Everything fits.
Assumed is one page (250 agents) for each queue.
With two pages each, polls would come every 16 s, and answers be 9 s old on average and 17 s at worst: sales-queue would not fit.
";
    assert_eq!(said.out, expected);
    let json = office.run(&["plan", "--json"]).await.exits(0).json();
    assert_eq!(json["fits"], true);
    let account = &json["accounts"][0];
    assert_eq!(account["polls_per_hour"], 900);
    assert_eq!(account["period_ms"], 4_000);
    let queue = serde_json::json!({
        "queue": "sales-queue", "pages": 1, "interval_ms": 8_000, "membership_interval_ms": 8_000, "mean_age_ms": 4_500, "worst_age_ms": 8_500,
        "max_age_ms": 11_000, "max_age_is_default": false, "fits": true,
    });
    assert_eq!(account["queues"][0], queue);
    assert_eq!(account["two_pages"]["fits"], false);
    assert_eq!(account["two_pages"]["queues"][0]["worst_age_ms"], 17_000);
    assert!(!office.path("state").exists());
    assert_eq!(office.calltools.simulator.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_says_what_does_not_fit_and_what_to_do() {
    let office = Office::open().await;
    let budget = "requests_per_hour = 1000\nreserve = 100\n[[account.queue]]";
    let tight = office.account("main", "\nqueue = \"sales-queue\"\nmax_age = \"4s\"\n");
    office.configure(&tight.replace("[[account.queue]]", budget));
    let said = office.run(&["plan"]).await.exits(1);
    said.says(&[
        "  NO\n",
        "sales-queue does not fit: its answers get 4.5 s old and max_age is 4 s, so it would be unknown at times; set max_age to \"5s\" or more",
    ]);
    let json = office.run(&["plan", "--json"]).await.exits(1).json();
    assert_eq!(json["fits"], false);
    assert_eq!(
        json["accounts"][0]["advice"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_helps_with_examples_and_completes() {
    let folder = tempfile::tempdir().expect("a folder");
    for command in [
        "run",
        "check",
        "plan",
        "health",
        "status",
        "demo",
        "simulate",
        "completions",
        "man",
    ] {
        let said = run(folder.path(), &[command, "--help"], &[]).await.exits(0);
        said.says(&["Example", &format!("  openseat {command}")]);
    }
    run(folder.path(), &["--help"], &[])
        .await
        .exits(0)
        .says(&["Examples:\n"]);
    for shell in ["bash", "zsh", "fish"] {
        let said = run(folder.path(), &["completions", shell], &[])
            .await
            .exits(0);
        said.says(&["openseat", "check", "simulate"]);
    }
    run(folder.path(), &["man", "pages"], &[]).await.exits(0);
    let page = |name: &str| fs::read_to_string(folder.path().join("pages").join(name));
    assert!(
        page("openseat.1")
            .expect("a page")
            .contains("openseat\\-run(1)")
    );
    assert!(
        page("openseat-run.1")
            .expect("a page")
            .contains("Exit codes")
    );
    run(folder.path(), &["check", "--json", "--curl"], &[])
        .await
        .exits(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_without_a_daemon_sets_a_damaged_ledger_aside_and_counts_the_hour_as_spent() {
    let office = Office::open().await;
    let account = office.account("main", "\nqueue = \"sales-queue\"\n");
    office.configure(&account);
    let path = office.path("state").join(daemon::LEDGER_FILE);
    fs::create_dir_all(office.path("state")).expect("a folder");
    fs::write(&path, "no database ".repeat(1_000)).expect("a file");
    // It takes the folder as the daemon would. What leaves the lost hour meanwhile may be spent.
    for _ in 0..3 {
        office.check(&[]).await;
    }
    let sent = office.calltools.simulator.requests();
    assert!(sent <= 4, "{sent}");
    let aside = fs::read_dir(office.path("state")).expect("a folder");
    let aside = aside.flatten().map(|entry| entry.file_name());
    assert!(aside.into_iter().any(|name| {
        name.to_string_lossy()
            .starts_with("budget.sqlite3.corrupt-")
    }));
}
