//! Tests that the model and a real engine give the same replies to the same commands.

use std::{cell::Cell, time::Duration};

use proptest::prelude::*;
use redis::AsyncConnectionConfig;

use crate::cluster::{
    command::{Checkpoint, Command, Log, Logged, Look, Position, REGISTRY, Reply},
    engine::{Address, Engine as _, EngineError, RedisEngine},
    local::LocalEngine,
    model::Model,
};

fn start() -> LocalEngine {
    LocalEngine::start().expect("redis-server is installed (Debian's package redis-server)")
}

fn engine(server: &LocalEngine, prefix: &str) -> RedisEngine {
    RedisEngine::new(&Address {
        url: server.url(),
        password: None,
        prefix: prefix.to_owned(),
        replicas: 0,
    })
    .unwrap()
}

/// Removes from a reply what differs between engines: their times, and the order of a hash.
fn comparable(reply: Reply) -> Reply {
    let timeless = |logged: Logged| Logged {
        time: Duration::ZERO,
        ..logged
    };
    match reply {
        Reply::Seen(look) => {
            let mut nodes = look.nodes;
            nodes.sort();
            Reply::Seen(Look {
                time: Duration::ZERO,
                nodes,
                ..look
            })
        }
        Reply::Published(done, _) => Reply::Published(done, Duration::ZERO),
        Reply::Log(log) => Reply::Log(Log {
            time: Duration::ZERO,
            checkpoint: log.checkpoint.map(|checkpoint| Checkpoint {
                time: Duration::ZERO,
                ..checkpoint
            }),
            entries: log.entries.into_iter().map(timeless).collect(),
            ..log
        }),
        Reply::Mirrors(mut mirrors) => {
            mirrors.sort();
            Reply::Mirrors(mirrors)
        }
        other => other,
    }
}

fn text(options: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(options).prop_map(str::to_owned)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

fn position() -> impl Strategy<Value = Position> {
    (0..4_u64, 0..6_u64).prop_map(|(epoch, number)| Position { epoch, number })
}

fn place() -> impl Strategy<Value = Position> {
    (1..4_u64, 1..6_u64).prop_map(|(epoch, number)| Position { epoch, number })
}

fn command() -> impl Strategy<Value = Command> {
    let generation = || text(&["g", "g", "g", "h"]);
    let holder = || text(&["a", "b", "-"]);
    let lease = || text(&["", "a 1 1", "a 2 1", "b 1 2", "- 3 2", "odd", "a.b 1 1"]);
    let node = || text(&["n", "m"]);
    prop_oneof![
        (node(), bytes(), generation()).prop_map(|(node, info, generation)| Command::Look {
            node,
            info,
            generation
        }),
        (generation(), lease(), lease()).prop_map(|(generation, seen, lease)| Command::Take {
            generation,
            seen,
            lease
        }),
        (generation(), holder(), lease()).prop_map(|(generation, holder, lease)| Command::Renew {
            generation,
            holder,
            lease
        }),
        (
            generation(),
            holder(),
            place(),
            bytes(),
            prop::option::weighted(0.3, prop::collection::vec(bytes(), 1..4))
        )
            .prop_map(|(generation, holder, position, entry, checkpoint)| {
                Command::Publish {
                    generation,
                    holder,
                    position,
                    entry,
                    checkpoint,
                }
            }),
        (position(), any::<bool>())
            .prop_map(|(after, checkpoint)| Command::Read { after, checkpoint }),
        (generation(), node(), bytes()).prop_map(|(generation, node, mirror)| Command::Mirror {
            generation,
            node,
            mirror
        }),
        Just(Command::Mirrors),
        (
            prop::collection::vec(node(), 0..2),
            prop::collection::vec(node(), 0..2)
        )
            .prop_map(|(nodes, mirrors)| Command::Forget { nodes, mirrors }),
        (
            text(&["x", "y"]),
            prop::collection::vec(text(&["i", "j", "k"]), 1..3)
        )
            .prop_map(|(account, claims)| Command::Claim { account, claims }),
        (generation(), generation())
            .prop_map(|(generation, new)| Command::Discard { generation, new }),
    ]
}

/// Any commands. In half of the cases a node leads first: without that, few of the others would find a lease that they fit.
fn commands() -> impl Strategy<Value = Vec<Command>> {
    let lead = [
        Command::Look {
            node: "n".to_owned(),
            info: Vec::new(),
            generation: "g".to_owned(),
        },
        Command::Take {
            generation: "g".to_owned(),
            seen: String::new(),
            lease: "a 1 1".to_owned(),
        },
    ];
    let others = prop::collection::vec(command(), 1..40);
    (any::<bool>(), others).prop_map(move |(leads, others)| {
        let first = lead.iter().filter(|_| leads).cloned();
        first.chain(others).collect::<Vec<_>>()
    })
}

#[test]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
fn the_engine_does_what_the_model_does() {
    let server = start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig {
        failure_persistence: None,
        // A case with a late answer is dropped: it says nothing about the engine. There are few, even on a busy machine.
        max_global_rejects: 30,
        ..ProptestConfig::with_cases(300)
    };
    // How often each of them did what it should: otherwise the model could refuse them all.
    let (taken, renewed, published) = (Cell::new(0), Cell::new(0), Cell::new(0));
    proptest!(config, |(commands in commands())| {
        let engine = engine(&server, &format!("case-{:x}", fastrand::u64(..)));
        runtime.block_on(until_it_answers(&engine));
        let mut model = Model::default();
        for command in &commands {
            let account = match command {
                Command::Claim { .. } => REGISTRY,
                _ => "account",
            };
            let real = runtime.block_on(engine.run(account, command));
            prop_assume!(!real.as_ref().is_err_and(EngineError::is_silence), "a late answer");
            let with_checkpoint = matches!(command, Command::Read { checkpoint, .. } if *checkpoint);
            if with_checkpoint && model.lacks_its_beginning() {
                prop_assert!(real.is_err_and(|error| error.is_spoilt()));
                continue;
            }
            let real = real.unwrap();
            let modelled = model.run(command, Duration::ZERO);
            let done = match (command, &real) {
                (Command::Take { .. }, Reply::Done(true)) => Some(&taken),
                (Command::Renew { .. }, Reply::Done(true)) => Some(&renewed),
                (Command::Publish { .. }, Reply::Published(true, _)) => Some(&published),
                _ => None,
            };
            done.into_iter().for_each(|done| done.set(done.get() + 1));
            prop_assert_eq!(comparable(real), comparable(modelled), "{:?}", command);
        }
    });
    let done = [taken.get(), renewed.get(), published.get()];
    assert!(done.iter().all(|done| *done > 0), "{done:?}");
}

/// Waits for an answer: on a busy machine the first ones may time out.
async fn until_it_answers(engine: &RedisEngine) {
    for _ in 0..500 {
        if engine.run("a", &Command::Mirrors).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("redis-server does not answer");
}

#[tokio::test]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn an_engine_that_restarts_is_used_again() {
    let mut server = start();
    let engine = engine(&server, "p");
    until_it_answers(&engine).await;
    server.kill();
    for _ in 0..3 {
        assert!(engine.run("a", &Command::Mirrors).await.is_err());
        assert!(!engine.is_up());
    }
    server.start_again().unwrap();
    until_it_answers(&engine).await;
    assert!(engine.is_up());
}

#[tokio::test]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn foreign_data_in_the_engine_is_an_error_but_no_panic() {
    let server = start();
    until_it_answers(&engine(&server, "start")).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let log = "p:{a}:log";
    let _: () = redis::cmd("SET")
        .arg(log)
        .arg("foreign")
        .query_async(&mut connection)
        .await
        .unwrap();
    let engine = engine(&server, "p");
    let read = Command::Read {
        after: Position::default(),
        checkpoint: true,
    };
    assert!(engine.run("a", &read).await.is_err());
    let _: () = redis::cmd("DEL")
        .arg(log)
        .query_async(&mut connection)
        .await
        .unwrap();
    let _: String = redis::cmd("XADD")
        .arg(log)
        .arg("1-1")
        .arg("other")
        .arg("x")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(engine.run("a", &read).await.is_err());
}

#[tokio::test]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_checkpoint_in_one_piece_is_read_until_the_next_replaces_it() {
    let server = start();
    let engine = engine(&server, "p");
    until_it_answers(&engine).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: String = redis::cmd("XADD")
        .arg("p:{a}:log")
        .arg(&["1-1", "e", "", "t", "1 2"])
        .query_async(&mut connection)
        .await
        .unwrap();
    let fields = ["at", "1-1", "t", "1 2", "data", "old"];
    let _: () = redis::cmd("HSET")
        .arg("p:{a}:checkpoint")
        .arg(&fields)
        .query_async(&mut connection)
        .await
        .unwrap();
    let read = Command::Read {
        after: Position::default(),
        checkpoint: true,
    };
    let parts = async || match engine.run("a", &read).await.unwrap() {
        Reply::Log(log) => log.checkpoint.unwrap().parts,
        other => panic!("{other:?}"),
    };
    assert_eq!(parts().await, [b"old"]);
    let look = Command::Look {
        node: "n".to_owned(),
        info: Vec::new(),
        generation: "g".to_owned(),
    };
    let take = Command::Take {
        generation: "g".to_owned(),
        seen: String::new(),
        lease: "n 1 1".to_owned(),
    };
    let publish = Command::Publish {
        generation: "g".to_owned(),
        holder: "n".to_owned(),
        position: Position {
            epoch: 2,
            number: 1,
        },
        entry: Vec::new(),
        checkpoint: Some(vec![b"new".to_vec()]),
    };
    for command in [look, take, publish] {
        engine.run("a", &command).await.unwrap();
    }
    assert_eq!(parts().await, [b"new"]);
}

#[tokio::test]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_claim_that_belongs_to_no_key_is_discarded() {
    let server = start();
    let engine = engine(&server, "p");
    until_it_answers(&engine).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys = ["0123456789abcdef", "fedcba9876543210"];
    let claim = |key: &str| Command::Claim {
        account: key.to_owned(),
        claims: vec!["one".to_owned(), "other".to_owned()],
    };
    let claimed = |refused, discarded| Reply::Claimed { refused, discarded };
    for (registered, expected) in [
        (keys[0], claimed(0, false)),
        (keys[1], claimed(2, false)),
        ("x", claimed(0, true)),
        ("0123456789abcde!", claimed(0, true)),
        ("", claimed(0, true)),
    ] {
        let _: i64 = redis::cmd("HSET")
            .arg("p:{registry}:accounts")
            .arg(&["other", registered])
            .query_async(&mut connection)
            .await
            .unwrap();
        let answered = engine.run(REGISTRY, &claim(keys[0])).await.unwrap();
        assert_eq!(answered, expected, "{registered}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn what_is_too_long_is_found_by_all_even_if_its_finder_gets_no_answer() {
    let server = start();
    let engine = engine(&server, "p");
    until_it_answers(&engine).await;
    let client = redis::Client::open(server.url()).unwrap();
    // To write so much takes a moment.
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
    let connection = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = connection.await.unwrap();
    let look = Command::Look {
        node: "n".to_owned(),
        info: Vec::new(),
        generation: "g".to_owned(),
    };
    let read = |checkpoint| Command::Read {
        after: Position::default(),
        checkpoint,
    };
    let long = "string.rep('x', 17 * 1024 * 1024)";
    for (key, spoils, finds) in [
        ("generation", format!("'SET', KEYS[1], {long}"), &look),
        ("lease", format!("'SET', KEYS[1], {long}"), &look),
        ("nodes", format!("'HSET', KEYS[1], 'm', {long}"), &look),
        ("nodes", "'HSET', KEYS[1], i, ''".to_owned(), &look),
        (
            "mirrors",
            "'HSET', KEYS[1], i, ''".to_owned(),
            &Command::Mirrors,
        ),
        (
            "log",
            format!("'XADD', KEYS[1], '1-1', 'e', {long}, 't', '1 1'"),
            &read(false),
        ),
    ] {
        assert!(engine.run("a", &look).await.is_ok(), "{key}");
        let times = if spoils.contains("i,") { 17_000 } else { 1 };
        let _: i64 = redis::cmd("EVAL")
            .arg(format!(
                "for i = 1, {times} do redis.call({spoils}) end return 1"
            ))
            .arg(1)
            .arg(format!("p:{{a}}:{key}"))
            .query_async(&mut connection)
            .await
            .unwrap();
        // The first answer may be lost.
        let _ = engine.run("a", finds).await;
        let error = engine.run("a", &look).await.unwrap_err();
        assert!(error.is_spoilt(), "{key}: {error}");
        let discard = Command::Discard {
            generation: "g".to_owned(),
            new: "g".to_owned(),
        };
        let discarded = engine.run("a", &discard).await.unwrap();
        assert_eq!(discarded, Reply::Discarded(None), "{key}");
    }
}
