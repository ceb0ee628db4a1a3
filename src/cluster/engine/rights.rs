//! Finds the right that the engine's user lacks: an error in a script does not name it.

use redis::{ErrorKind, RedisError, ServerErrorKind, Value, aio::MultiplexedConnection};

use super::{
    error::{EngineError, is_of_command},
    trial::TRIAL,
};

/// All commands that openseat uses, each as a call for [`KEY`] that does no harm. Most are errors there, which come after a look at the
/// rights.
const CALLS: [&[&str]; 14] = [
    &["PING"],
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

/// The kinds of channels.
const CHANNELS: [&str; 3] = ["bell", "ask", "node"];

/// Returns the first right that the user lacks. Only this looks at the key.
pub(super) async fn lacking(
    connection: &mut MultiplexedConnection,
    prefix: &str,
    key: &str,
) -> Option<EngineError> {
    for call in CALLS {
        let mut command = redis::cmd(call[0]);
        for &argument in &call[1..] {
            command.arg(if argument == KEY { key } else { argument });
        }
        if let Some(error) = refusal(connection, &command).await {
            return Some(match is_of_command(&error) {
                true => EngineError::Lacks(call[0].to_owned()),
                // It may run the command, but not with this key.
                false => error.into(),
            });
        }
    }
    for kind in CHANNELS {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(format!("{prefix}:{kind}:{TRIAL}")).arg("");
        if let Some(error) = refusal(connection, &publish).await {
            return Some(EngineError::Lacks(match is_of_command(&error) {
                true => "PUBLISH".to_owned(),
                false => format!("PUBLISH on the channels {prefix}:{kind}:*"),
            }));
        }
    }
    None
}

/// Returns the error if the user lacks a right to this call.
async fn refusal(connection: &mut MultiplexedConnection, call: &redis::Cmd) -> Option<RedisError> {
    let answered: Result<Value, RedisError> = call.query_async(connection).await;
    let is_refusal =
        |error: &RedisError| error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm);
    answered.err().filter(is_refusal)
}
