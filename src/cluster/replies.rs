//! Parses the replies of the engine's scripts. Another user of the engine may have written anything, so everything is checked.

use std::time::Duration;

use redis::Value;

use super::command::{Checkpoint, Command, Log, Logged, Look, Position, Reply};

/// The maximum length of a mark or a lease in bytes. Both have a few dozen.
const MAX_SHORT: usize = 128;

/// A reply that no script of openseat's gives, for people.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the engine holds data that is not openseat's: {0}")]
pub struct Foreign(pub &'static str);

/// Parses the reply to a command.
pub(super) fn read(command: &Command, value: Value) -> Result<Reply, Foreign> {
    Ok(match command {
        Command::Look { .. } => Reply::Seen(look(value)?),
        Command::Publish { .. } => {
            let [done, time] = array(value)?;
            Reply::Published(number(done)? == 1, moment(time)?)
        }
        Command::Read { .. } => Reply::Log(log(value)?),
        Command::Discard { .. } => Reply::Discarded(match value {
            Value::Int(_) => None,
            mark => Some(short(mark)?),
        }),
        Command::Claim { .. } => {
            let [refused, discarded] = array(value)?;
            Reply::Claimed {
                refused: number(refused)?.max(0) as usize,
                discarded: number(discarded)? == 1,
            }
        }
        Command::Mirrors => Reply::Mirrors(pairs(value)?),
        Command::Take { .. }
        | Command::Renew { .. }
        | Command::Mirror { .. }
        | Command::Forget { .. } => Reply::Done(number(value)? == 1),
        Command::Send { .. } => Reply::Done(number(value)? > 0),
    })
}

fn look(value: Value) -> Result<Look, Foreign> {
    let [generation, lease, last, time, nodes] = array(value)?;
    Ok(Look {
        generation: short(generation)?,
        lease: short(lease)?,
        last: position(last)?,
        time: moment(time)?,
        nodes: pairs(nodes)?,
    })
}

fn log(value: Value) -> Result<Log, Foreign> {
    let [generation, lease, time, checkpoint, entries] = array(value)?;
    let checkpoint = match list(checkpoint)? {
        empty if empty.is_empty() => None,
        mut fields => {
            let parts = fields.split_off(2.min(fields.len()));
            let [position_, time] = array(Value::Array(fields))?;
            Some(Checkpoint {
                position: position(position_)?,
                time: written(time)?,
                parts: parts.into_iter().map(bytes).collect::<Result<_, _>>()?,
            })
        }
    };
    let entries = list(entries)?.into_iter().map(|entry| {
        let [id, fields] = array(entry)?;
        let mut fields = pairs(fields)?;
        let mut field = |name| {
            let place = fields.iter().position(|(field, _)| field == name);
            let place = place.ok_or(Foreign("an entry of the log has other fields"))?;
            Ok(fields.swap_remove(place).1)
        };
        Ok(Logged {
            position: position(id)?,
            data: field("e")?,
            time: written(Value::BulkString(field("t")?))?,
        })
    });
    Ok(Log {
        generation: short(generation)?,
        lease: short(lease)?,
        time: moment(time)?,
        checkpoint,
        entries: entries.collect::<Result<_, _>>()?,
    })
}

fn list(value: Value) -> Result<Vec<Value>, Foreign> {
    match value {
        Value::Array(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        _ => Err(Foreign("a list was expected")),
    }
}

fn array<const N: usize>(value: Value) -> Result<[Value; N], Foreign> {
    let values = list(value)?;
    values
        .try_into()
        .map_err(|_| Foreign("a list of another length was expected"))
}

fn bytes(value: Value) -> Result<Vec<u8>, Foreign> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        Value::Nil => Ok(Vec::new()),
        _ => Err(Foreign("a text was expected")),
    }
}

fn text(value: Value) -> Result<String, Foreign> {
    String::from_utf8(bytes(value)?).map_err(|_| Foreign("a text is not UTF-8"))
}

/// Parses the mark of a data set or a lease.
fn short(value: Value) -> Result<String, Foreign> {
    let text = text(value)?;
    match text.len() <= MAX_SHORT {
        true => Ok(text),
        false => Err(Foreign("a mark or a lease is too long")),
    }
}

fn number(value: Value) -> Result<i64, Foreign> {
    match value {
        Value::Int(number) => Ok(number),
        _ => Err(Foreign("a number was expected")),
    }
}

fn position(value: Value) -> Result<Position, Foreign> {
    let text = text(value)?;
    text.parse()
        .map_err(|_| Foreign("a position in the log was expected"))
}

/// Parses the engine's `TIME`: seconds and microseconds.
fn moment(value: Value) -> Result<Duration, Foreign> {
    let [seconds, micros] = array(value)?;
    time(&text(seconds)?, &text(micros)?)
}

/// Parses a time that a script wrote.
fn written(value: Value) -> Result<Duration, Foreign> {
    let text = text(value)?;
    let (seconds, micros) = text.split_once(' ').ok_or(Foreign("a time was expected"))?;
    time(seconds, micros)
}

fn time(seconds: &str, micros: &str) -> Result<Duration, Foreign> {
    let wrong = || Foreign("a time was expected");
    let parse = |text: &str| text.parse().map_err(|_| wrong());
    let (seconds, micros) = (parse(seconds)?, parse(micros)?);
    let seconds = Duration::from_secs(seconds);
    seconds
        .checked_add(Duration::from_micros(micros))
        .ok_or_else(wrong)
}

fn pairs(value: Value) -> Result<Vec<(String, Vec<u8>)>, Foreign> {
    let mut values = list(value)?.into_iter();
    let mut pairs = Vec::with_capacity(values.len() / 2);
    while let Some(name) = values.next() {
        let value = values.next().ok_or(Foreign("a field has no value"))?;
        pairs.push((text(name)?, bytes(value)?));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_no_clock_shows_is_an_error() {
        assert_eq!(time("2", "500000").ok(), Some(Duration::from_millis(2_500)));
        for (seconds, micros) in [("18446744073709551615", "1000000"), ("-1", "0"), ("", "")] {
            assert!(time(seconds, micros).is_err(), "{seconds} {micros}");
        }
    }
}
