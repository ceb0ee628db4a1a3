//! Tests a real engine that refuses some commands and answers others.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    cluster::{
        command::{Command, Position},
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

/// Publishes as the leader does, and returns the refusal.
async fn publish(engine: &RedisEngine) -> Option<EngineError> {
    let command = Command::Publish {
        generation: "g".to_owned(),
        holder: "n".to_owned(),
        position: Position {
            epoch: 1,
            number: 1,
        },
        entry: Vec::new(),
        checkpoint: None,
    };
    engine.run("a", &command).await.err()
}

#[tokio::test]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn an_engine_that_refuses_a_command_is_down_until_all_work_again_and_logged_once() {
    let server = LocalEngine::start().expect("redis-server, of Debian's package of that name");
    let client = redis::Client::open(server.url()).unwrap();
    let engine = RedisEngine::new(&Address {
        url: server.url(),
        password: None,
        prefix: "p".to_owned(),
        replicas: 0,
    });
    let engine = engine.unwrap();
    until_up(&engine, true).await;
    let take = Command::Take {
        generation: "g".to_owned(),
        seen: String::new(),
        lease: "n 1 1".to_owned(),
    };
    engine.run("a", &take).await.unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut ask = async |words: &str| {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        let _: redis::Value = command.query_async(&mut connection).await.unwrap();
    };
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
            "REPLICAOF 127.0.0.1 1",
            "REPLICAOF NO ONE",
            "is a replica",
            "at the master",
        ),
    ] {
        let (logged, _guard) = listen();
        ask(begin).await;
        let error = publish(&engine).await.unwrap();
        let refusal = error.refusal().unwrap();
        assert!(refusal.said.contains(said), "{refusal:?}");
        assert!(!refusal.said.contains("script"), "{refusal:?}");
        assert!(refusal.advice.contains(advice), "{refusal:?}");
        for _ in 0..30 {
            for command in commands() {
                assert!(engine.run("a", &command).await.is_err(), "{said}");
                assert!(!engine.is_up(), "{said}");
            }
            sleep(Duration::from_millis(50)).await;
        }
        ask(end).await;
        until_up(&engine, true).await;
        let lines = logged.lines();
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(
            lines[0].contains("is lost") && lines[0].contains(said),
            "{lines:#?}"
        );
        assert!(
            lines[1].contains("engine answers") && lines[1].contains(said),
            "{lines:#?}"
        );
    }
}
