//! Tests a real engine that refuses some commands and answers others.

use std::{net::TcpListener, time::Duration};

use redis::{RedisResult, Value};
use tokio::time::sleep;

use crate::{
    cluster::{
        command::{Command, Listener, Position},
        engine::{Address, Engine as _, EngineError, RedisEngine},
        local::LocalEngine,
    },
    logged::listen,
};

/// What followers ask.
fn commands() -> [Command; 2] {
    let read = Command::Read {
        after: Position::default(),
        checkpoint: false,
    };
    let look = Command::Look {
        node: "n".to_owned(),
        info: Vec::new(),
        generation: "g".to_owned(),
    };
    [read, look]
}

async fn until_up(engine: &RedisEngine, is_up: bool) {
    for _ in 0..500 {
        for command in commands() {
            let _ = engine.run("a", &command).await;
        }
        if engine.is_up() == is_up {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("for ten seconds, the engine was not {is_up}");
}

/// Publishes as the leader of this epoch does, and sends messages. Returns the refusal.
async fn publish(engine: &RedisEngine, account: &str, epoch: u64) -> Option<EngineError> {
    let publish = Command::Publish {
        generation: "g".to_owned(),
        holder: "n".to_owned(),
        position: Position { epoch, number: 1 },
        entry: Vec::new(),
        checkpoint: None,
    };
    let messages = [Listener::Leader, Listener::Node("n".to_owned())];
    let messages = messages.map(|to| Command::Send {
        to,
        message: Vec::new(),
    });
    for command in std::iter::once(publish).chain(messages) {
        if let Err(error) = engine.run(account, &command).await {
            return Some(error);
        }
    }
    None
}

fn take() -> Command {
    Command::Take {
        generation: "g".to_owned(),
        seen: String::new(),
        lease: "n 1 1".to_owned(),
    }
}

/// Sends a command to a server as its administrator.
async fn say(server: &LocalEngine, words: &str) -> RedisResult<Value> {
    let client = redis::Client::open(server.url())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command.query_async(&mut connection).await
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if is_so().await {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("for ten seconds: {what}");
}

#[tokio::test]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn an_engine_that_refuses_a_command_is_down_until_all_work_again_and_logged_once() {
    let server = LocalEngine::start().expect("redis-server, of Debian's package of that name");
    let engine = RedisEngine::new(&Address {
        url: server.url(),
        password: None,
        prefix: "p".to_owned(),
        replicas: 0,
    });
    let engine = engine.unwrap();
    until_up(&engine, true).await;
    engine.run("a", &take()).await.unwrap();
    // An entry that the log has is not published again.
    let mut epoch = 0;
    for (begin, end, said, advice) in [
        (
            "CONFIG SET maxmemory 1",
            "CONFIG SET maxmemory 0",
            "OOM",
            "raise the engine's maxmemory",
        ),
        (
            "ACL SETUSER default -xadd",
            "ACL SETUSER default +xadd",
            "may not run XADD",
            "users.acl",
        ),
        (
            "ACL SETUSER default -publish",
            "ACL SETUSER default +publish",
            "may not run PUBLISH",
            "users.acl",
        ),
        (
            "ACL SETUSER default resetchannels &p:ask:* &p:node:*",
            "ACL SETUSER default allchannels",
            "may not run PUBLISH on the channels p:bell:*",
            "users.acl",
        ),
        (
            "ACL SETUSER default resetchannels &p:bell:* &p:node:*",
            "ACL SETUSER default allchannels",
            "may not run PUBLISH on the channels p:ask:*",
            "users.acl",
        ),
        (
            "ACL SETUSER default resetchannels &p:bell:* &p:ask:*",
            "ACL SETUSER default allchannels",
            "may not run PUBLISH on the channels p:node:*",
            "users.acl",
        ),
        (
            "REPLICAOF 127.0.0.1 1",
            "REPLICAOF NO ONE",
            "is a replica",
            "at the master",
        ),
    ] {
        let (logged, _guard) = listen();
        say(&server, begin).await.unwrap();
        // On a busy machine, it may take a second refusal to find the missing right.
        let mut refusal = None;
        until(said, async || {
            epoch += 1;
            let error = publish(&engine, "a", epoch).await;
            refusal = error.and_then(|error| error.refusal());
            refusal.as_ref().is_some_and(|one| one.said.contains(said))
        })
        .await;
        let refusal = refusal.unwrap();
        assert!(!refusal.said.contains("script"), "{refusal:?}");
        assert!(refusal.advice.contains(advice), "{refusal:?}");
        for _ in 0..30 {
            for command in commands() {
                assert!(engine.run("a", &command).await.is_err(), "{said}");
                assert!(!engine.is_up(), "{said}");
            }
            sleep(Duration::from_millis(50)).await;
        }
        say(&server, end).await.unwrap();
        until_up(&engine, true).await;
        let lines = logged.lines().into_iter();
        let lines: Vec<_> = lines.filter(|line| line.contains(said)).collect();
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].contains("is lost"), "{lines:#?}");
        assert!(lines[1].contains("engine answers"), "{lines:#?}");
    }
}

/// A port that is free now.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts a server of a Redis Cluster. Returns it with its port and the one for other servers.
async fn cluster_server() -> (LocalEngine, u16, u16) {
    // Another process may take a port meanwhile. Then the server ends.
    for _ in 0..5 {
        let (at, bus) = (port(), port());
        let more = format!("--port {at} --cluster-enabled yes --cluster-port {bus}");
        let more: Vec<_> = more.split(' ').collect();
        let server = LocalEngine::with(&more).expect("redis-server");
        for _ in 0..250 {
            if say(&server, "PING").await.is_ok() {
                return (server, at, bus);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    panic!("no server starts");
}

/// Starts two masters that share the slots. Returns them, and the port of the first.
async fn two_masters() -> ([LocalEngine; 2], u16) {
    let (first, at, _) = cluster_server().await;
    let (second, other, bus) = cluster_server().await;
    for (server, slots) in [(&first, "0 8191"), (&second, "8192 16383")] {
        let slots = format!("CLUSTER ADDSLOTSRANGE {slots}");
        say(server, &slots).await.unwrap();
    }
    let meet = format!("CLUSTER MEET 127.0.0.1 {other} {bus}");
    say(&first, &meet).await.unwrap();
    let servers = [first, second];
    for server in &servers {
        until("the slots are not all known", async || {
            let info = say(server, "CLUSTER INFO").await;
            info.is_ok_and(|info| format!("{info:?}").contains("cluster_state:ok"))
        })
        .await;
    }
    (servers, at)
}

#[tokio::test]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn in_a_redis_cluster_only_the_accounts_of_the_server_that_refuses_are_down() {
    let ([first, second], at) = two_masters().await;
    let engine = RedisEngine::new(&Address {
        url: format!("redis-cluster://127.0.0.1:{at}"),
        password: None,
        prefix: "p".to_owned(),
        replicas: 0,
    });
    let engine = engine.unwrap();
    let accounts: Vec<_> = (0..16).map(|number| format!("account-{number}")).collect();
    let [read, look] = commands();
    let mut of_second = Vec::new();
    for account in &accounts {
        until(account, async || engine.run(account, &look).await.is_ok()).await;
        let exists = format!("EXISTS p:{{{account}}}:generation");
        of_second.push(say(&second, &exists).await.is_ok());
    }
    assert!(of_second.contains(&true) && of_second.contains(&false));
    let leads = of_second.iter().position(|is_there| *is_there).unwrap();
    let leads = &accounts[leads];
    until("it leads", async || {
        engine.run(leads, &take()).await.is_ok()
    })
    .await;

    let (logged, _guard) = listen();
    say(&second, "ACL SETUSER default -xadd").await.unwrap();
    until("it may append", async || {
        publish(&engine, leads, 1).await.is_some()
    })
    .await;
    let mut refused = 0;
    for _ in 0..10 {
        for (account, is_there) in accounts.iter().zip(&of_second) {
            for command in [&read, &look] {
                match engine.run(account, command).await {
                    Ok(_) => assert!(!is_there, "{account}"),
                    // The machine is busy.
                    Err(error) if error.is_silence() => {}
                    Err(error) => {
                        assert!(is_there, "{account}: {error}");
                        assert!(error.to_string().contains("may not run XADD"), "{error}");
                        refused += 1;
                    }
                }
                assert!(!engine.is_up());
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(refused > 10, "{refused}");
    say(&second, "ACL SETUSER default +xadd").await.unwrap();
    for account in &accounts {
        until(account, async || engine.run(account, &look).await.is_ok()).await;
    }
    let lines = logged.lines().into_iter();
    let lines: Vec<_> = lines.filter(|line| line.contains("XADD")).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("is lost") && lines[1].contains("answers"));
    // The trials leave nothing.
    for server in [&first, &second] {
        let keys = say(server, "KEYS p:*trial*").await.unwrap();
        assert_eq!(keys, Value::Array(Vec::new()));
    }
}
