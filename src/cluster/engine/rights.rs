//! Finds the right that the engine's user lacks: an error in a script does not name it.

use redis::{ErrorKind, RedisError, ServerErrorKind, Value, aio::MultiplexedConnection};

use super::{EngineError, TRIAL};

/// All commands of the scripts, each as a call for [`KEY`] that does no harm. Most are errors there, which come after a look at the rights.
const CALLS: [&[&str]; 13] = [
    &["GET", KEY],
    &["SET", KEY, "1"],
    &["HGET", KEY, "1"],
    &["HSET", KEY, "1", "1"],
    &["HMGET", KEY, "1"],
    &["HGETALL", KEY],
    &["HDEL", KEY, "1"],
    &["XADD", KEY, "1-1", "1", "1"],
    &["XRANGE", KEY, "-", "+"],
    &["XREVRANGE", KEY, "+", "-"],
    &["XTRIM", KEY, "MINID", "0"],
    &["TIME"],
    // Last, because it deletes the key.
    &["EXPIRE", KEY, "0"],
];

/// Stands for a key of the trial.
const KEY: &str = "key";

/// Returns the first right that the user lacks.
pub(super) async fn lacking(
    connection: &mut MultiplexedConnection,
    prefix: &str,
) -> Option<EngineError> {
    let key = format!("{prefix}:{{{TRIAL}}}:right");
    for call in CALLS {
        let mut command = redis::cmd(call[0]);
        for &argument in &call[1..] {
            command.arg(if argument == KEY { &*key } else { argument });
        }
        let answered: Result<Value, RedisError> = command.query_async(connection).await;
        match answered {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
                // It may run the command, but not with this key.
                let is_command = error.to_string().contains(" run the ");
                return Some(match is_command {
                    true => EngineError::Lacks(call[0].to_owned()),
                    false => error.into(),
                });
            }
            _ => {}
        }
    }
    None
}
