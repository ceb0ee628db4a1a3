//! `openseat hooks` as people and scripts meet it: the real program, against the simulated CallTools over a real socket.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use openseat::{
    clock::SystemClock,
    simulator::{Endpoint, Mishap, Serving, Settings, Simulator, WorldSettings},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::spawn_blocking};

/// No output may have one of these in it.
const TOKEN: &str = "canary0that0must0not0be0seen0anywhere000";
const SECRET: &str = "canary+secret/that&must=not#be%seen";
const NEW_SECRET: &str = "canary-another-secret-not-to-be-seen";

/// What every secret here begins with, and nothing else does.
const CANARY: &str = "canary";

const PLACE: &str = "https://openseat.example/v1/hooks/main";

struct Office {
    simulator: Simulator,
    serving: Serving,
    folder: TempDir,
}

/// What the program printed, in which no secret is.
#[derive(Debug)]
struct Said {
    out: String,
    err: String,
    code: i32,
}

impl Office {
    async fn open() -> Self {
        let simulator = Simulator::new(
            Settings {
                token: TOKEN.to_owned(),
                ..Settings::new(WorldSettings::still(1, 1))
            },
            Arc::new(SystemClock::new()),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let office = Self {
            serving: simulator.serve(listener).expect("it serves"),
            simulator,
            folder: tempfile::tempdir().expect("a folder"),
        };
        office.write("main.token", TOKEN);
        office.write("main.hook", SECRET);
        office.configure(&format!(
            "hook_secret_file = \"./main.hook\"\nhook_url = \"{PLACE}\"\n"
        ));
        office
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;

        fs::write(self.path(name), text).expect("it can be written");
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(self.path(name), mode).expect("chmod");
    }

    fn configure(&self, keys: &str) {
        let url = self.serving.base_url();
        let text = format!(
            "[state]\ndir = \"state\"\n[[account]]\nname = \"main\"\nbase_url = \"{url}\"\n\
             token_file = \"./main.token\"\n{keys}[[account.queue]]\nqueue = 1\n"
        );
        self.write("openseat.toml", &text);
    }

    async fn hooks(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
        command.arg("hooks").args(arguments);
        command.args(["--log-level", "trace"]);
        command.current_dir(self.folder.path()).env_clear();
        // The simulator lives in this runtime, and has to answer meanwhile.
        let output = spawn_blocking(move || command.stdin(Stdio::null()).output()).await;
        let output = output.expect("no panic").expect("it runs");
        let said = Said {
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
            code: output.status.code().expect("no signal ended it"),
        };
        assert!(
            !said.out.contains(CANARY) && !said.err.contains(CANARY),
            "{said:?}"
        );
        said
    }

    fn http(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let client = reqwest::Client::builder().no_proxy().build();
        let url = format!("{}{path}", self.serving.base_url());
        let request = client.expect("a client").request(method, url);
        request.header("Authorization", format!("Token {TOKEN}"))
    }

    /// What CallTools keeps.
    async fn there(&self) -> Vec<Value> {
        let list = self.http(reqwest::Method::GET, "resthooksubscriptions/");
        let list = list.send().await.expect("an answer").bytes().await;
        let list: Value = serde_json::from_slice(&list.expect("a body")).expect("JSON");
        list["results"].as_array().expect("rows").clone()
    }

    async fn subscribe(&self, model: &str, url: &str, description: &str) {
        let body = json!({"resthook_model": model, "url": url, "description": description});
        let post = self.http(reqwest::Method::POST, "resthooksubscriptions/");
        let answer = post.body(body.to_string()).send().await;
        assert_eq!(answer.expect("an answer").status(), 201);
    }

    /// The secrets that CallTools shows where it posts calls to us.
    async fn secrets(&self) -> Vec<String> {
        let there = self.there().await;
        let urls = there.iter().filter_map(|one| one["url"].as_str());
        let ours = urls.filter(|url| url.starts_with(PLACE));
        let secret = |url: &str| {
            let url = reqwest::Url::parse(url).expect("a URL");
            let pair = url.query_pairs().next().expect("a secret");
            assert_eq!(pair.0, "secret");
            pair.1.into_owned()
        };
        ours.map(secret).collect()
    }
}

impl Said {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    #[track_caller]
    fn says(self, words: &str) -> Self {
        assert!(
            self.out.contains(words),
            "{words:?} is not in:\n{}",
            self.out
        );
        self
    }

    #[track_caller]
    fn complains(self, words: &str) -> Self {
        assert!(
            self.err.contains(words),
            "{words:?} is not in:\n{}",
            self.err
        );
        self
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn installing_twice_is_installing_once() {
    let office = Office::open().await;
    let said = office.hooks(&["install"]).await.exits(0);
    said.says(&format!(
        "main: CallTools now posts calls to {PLACE}?secret=***\n"
    ));
    let there = office.there().await;
    assert_eq!(there[0]["resthook_model"], "Call");
    assert_eq!(there[0]["description"], "openseat: main");
    let before = office.simulator.requests();
    let said = office.hooks(&["install", "main"]).await.exits(0);
    said.says("already\n");
    assert_eq!(office.simulator.requests() - before, 1);
    assert_eq!(office.secrets().await, [SECRET]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_secret_replaces_ours_and_nobody_elses() {
    let office = Office::open().await;
    let by_hand = format!("{PLACE}?secret=canary-by-hand");
    office.subscribe("Call", &by_hand, "by hand").await;
    office
        .subscribe("Contact", "https://crm.example/?key=canary", "crm")
        .await;
    office.hooks(&["install"]).await.exits(0);
    office.write("main.hook", NEW_SECRET);
    let said = office.hooks(&["install"]).await.exits(0);
    said.says("with the new secret\n");
    assert_eq!(office.secrets().await, ["canary-by-hand", NEW_SECRET]);
    assert_eq!(office.there().await.len(), 3);
    let said = office.hooks(&["remove"]).await.exits(0);
    said.says("no longer posts calls to");
    assert_eq!(office.secrets().await, ["canary-by-hand"]);
    let said = office.hooks(&["remove"]).await.exits(0);
    said.says("no subscription of openseat's posts to");
    assert_eq!(office.there().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_tells_ours_from_others_and_shows_no_secret() {
    let office = Office::open().await;
    office
        .hooks(&["list"])
        .await
        .exits(0)
        .says("no subscriptions");
    office
        .subscribe(
            "Contact",
            "https://canary:canary@crm.example/h?key=canary",
            "",
        )
        .await;
    office.hooks(&["install"]).await.exits(0);
    let said = office.hooks(&["list", "main"]).await.exits(0);
    let rows: Vec<_> = said.out.lines().skip(4).collect();
    assert_eq!(
        rows,
        [
            "   1   Contact  no    https://***@crm.example/h?key=***",
            &format!("●  2   Call     yes   {PLACE}?secret=***"),
            "",
        ],
        "{}",
        said.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_said_with_what_to_do() {
    let office = Office::open().await;
    office
        .simulator
        .mishap(1, Some(Endpoint::RestHooks), Mishap::Forbidden);
    let said = office.hooks(&["install"]).await.exits(1);
    said.complains("the subscriptions could not be read")
        .complains("What to do: ask a CallTools administrator to let");
    assert_eq!(office.there().await.len(), 0);

    // The account's hour is spent on its list, and nothing is sent beyond it.
    office.configure(&format!(
        "requests_per_hour = 2\nhook_secret_file = \"./main.hook\"\nhook_url = \"{PLACE}\"\n"
    ));
    let before = office.simulator.requests();
    let said = office.hooks(&["install"]).await.exits(1);
    said.complains("the subscription could not be made: the account's requests for this hour");
    assert_eq!(office.simulator.requests() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_where_something_is_missing() {
    let office = Office::open().await;
    let said = office.hooks(&["install", "mian"]).await.exits(2);
    said.complains("no account \"mian\" is configured; did you mean main?");
    office.write("main.hook", "canary-short");
    let said = office.hooks(&["install"]).await.exits(2);
    said.complains("has fewer than 16 characters");
    office.configure("hook_secret_file = \"./main.hook\"\n");
    for command in ["install", "remove"] {
        let said = office.hooks(&[command]).await.exits(2);
        said.complains("no account has both hook_secret_file and hook_url");
        let said = office.hooks(&[command, "main"]).await.exits(2);
        said.complains("account \"main\" needs hook_secret_file and hook_url");
    }
    assert_eq!(office.simulator.requests(), 0);
    // To look, the token is enough.
    office.hooks(&["list"]).await.exits(0);
}
