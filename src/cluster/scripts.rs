//! The engine's side of each [`Command`]: one Lua script each, which happens completely or not at all.
//!
//! All keys of an account share a hash tag, and scripts use only keys that they are given, so a Redis Cluster runs them as well.

use std::sync::LazyLock;

use redis::Script;

use super::command::{Command, MAX_READ};

/// KEYS: generation, lease, log, nodes. ARGV: generation, node, info.
const LOOK: &str = "
local generation = redis.call('GET', KEYS[1])
if not generation then
  generation = ARGV[1]
  redis.call('SET', KEYS[1], generation)
end
redis.call('HSET', KEYS[4], ARGV[2], ARGV[3])
local last = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
return {generation, redis.call('GET', KEYS[2]) or '', last[1] and last[1][1] or '0-0', redis.call('TIME'), redis.call('HGETALL', KEYS[4])}
";

/// KEYS: generation, lease. ARGV: generation, the lease that was seen, the new lease.
const TAKE: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], ARGV[3])
return 1
";

/// KEYS: generation, lease. ARGV: generation, holder, the new lease.
const RENEW: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local lease = redis.call('GET', KEYS[2]) or ''
if string.match(lease, '^(%S+) ') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], ARGV[3])
return 1
";

/// KEYS: generation, lease, log, checkpoint. ARGV: generation, holder, position, entry, the bell's channel, the parts of a checkpoint or none.
///
/// If the last entry has this position, it is this entry: only the holder writes in its epoch, and it may repeat a command that got no answer.
const PUBLISH: &str = "
local time = redis.call('TIME')
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0, time} end
local lease = redis.call('GET', KEYS[2]) or ''
if string.match(lease, '^(%S+) ') ~= ARGV[2] then return {0, time} end
local last = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
if last[1] and last[1][1] == ARGV[3] then return {1, time} end
local at = time[1] .. ' ' .. time[2]
local added = redis.pcall('XADD', KEYS[3], ARGV[3], 'e', ARGV[4], 't', at)
if type(added) == 'table' then
  if string.find(added.err, 'equal or smaller', 1, true) then return {0, time} end
  return added
end
local parts = #ARGV - 5
if parts > 0 then
  local before = tonumber(redis.call('HGET', KEYS[4], 'parts') or 0)
  redis.call('HSET', KEYS[4], 'at', ARGV[3], 't', at, 'parts', parts)
  redis.call('HDEL', KEYS[4], 'data')
  for part = 1, parts do redis.call('HSET', KEYS[4], part, ARGV[part + 5]) end
  for part = parts + 1, before do redis.call('HDEL', KEYS[4], part) end
  redis.call('XTRIM', KEYS[3], 'MINID', ARGV[3])
end
redis.call('PUBLISH', ARGV[5], ARGV[3])
return {1, time}
";

/// KEYS: generation, lease, log, checkpoint. ARGV: position, 1 for the checkpoint, the maximum of entries.
///
/// Earlier versions wrote a checkpoint in one piece, as `data`.
const READ: &str = "
local after = ARGV[1]
local checkpoint = {}
if ARGV[2] == '1' then
  local at = redis.call('HMGET', KEYS[4], 'at', 't', 'parts', 'data')
  after = at[1] or '0-0'
  if at[1] then
    checkpoint = {at[1], at[2], at[4] or nil}
    for part = 1, tonumber(at[3] or 0) do checkpoint[part + 2] = redis.call('HGET', KEYS[4], part) end
  end
end
local entries = redis.call('XRANGE', KEYS[3], '(' .. after, '+', 'COUNT', ARGV[3])
return {redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[2]) or '', redis.call('TIME'), checkpoint, entries}
";

/// KEYS: generation, mirrors. ARGV: generation, node, mirror. Mirrors matter for an hour; two hours allow for a clock that jumps by one.
const MIRROR: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[2], 7200)
return 1
";

/// KEYS: mirrors.
const MIRRORS: &str = "return redis.call('HGETALL', KEYS[1])";

/// KEYS: nodes, mirrors. ARGV: the number of nodes, these nodes, and the nodes whose mirrors go.
const FORGET: &str = "
for place = 2, #ARGV do
  redis.call('HDEL', KEYS[place - 1 <= tonumber(ARGV[1]) and 1 or 2], ARGV[place])
end
return 1
";

/// KEYS: all of the account's. ARGV: the generation in which one of them is spoilt, the new generation.
///
/// `EXPIRE` deletes a key of any type, and needs no more permissions than the other scripts. A mark that openseat cannot have written is spoilt
/// itself.
const DISCARD: &str = "
local mark = redis.pcall('GET', KEYS[1])
if type(mark) == 'string' and mark ~= ARGV[1] and #mark <= 64 and string.find(mark, '^%w+$') then return mark end
for place = 1, #KEYS do redis.call('EXPIRE', KEYS[place], 0) end
redis.call('SET', KEYS[1], ARGV[2])
return 1
";

/// KEYS: accounts. ARGV: account, its claims.
const CLAIM: &str = "
local discarded = 0
if type(redis.pcall('HGET', KEYS[1], ARGV[1])) == 'table' then
  redis.call('EXPIRE', KEYS[1], 0)
  discarded = 1
end
for place = 2, #ARGV do
  local registered = redis.call('HGET', KEYS[1], ARGV[place])
  if registered and registered ~= ARGV[1] then return {place - 1, discarded} end
end
for place = 2, #ARGV do redis.call('HSET', KEYS[1], ARGV[place], ARGV[1]) end
return {0, discarded}
";

/// The names of all keys of an account, the mark of its data set first.
const ALL_KEYS: [&str; 6] = [
    "generation",
    "lease",
    "log",
    "checkpoint",
    "nodes",
    "mirrors",
];

struct Scripts {
    look: Script,
    take: Script,
    renew: Script,
    publish: Script,
    read: Script,
    mirror: Script,
    mirrors: Script,
    forget: Script,
    discard: Script,
    claim: Script,
}

static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    look: Script::new(LOOK),
    take: Script::new(TAKE),
    renew: Script::new(RENEW),
    publish: Script::new(PUBLISH),
    read: Script::new(READ),
    mirror: Script::new(MIRROR),
    mirrors: Script::new(MIRRORS),
    forget: Script::new(FORGET),
    discard: Script::new(DISCARD),
    claim: Script::new(CLAIM),
});

/// A script with its keys and arguments.
pub(super) struct Call {
    pub script: &'static Script,
    pub keys: Vec<&'static str>,
    pub arguments: Vec<Vec<u8>>,
}

impl Call {
    fn new(
        script: &'static Script,
        keys: &[&'static str],
        arguments: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        Self {
            script,
            keys: keys.to_vec(),
            arguments: arguments.into_iter().collect(),
        }
    }
}

/// Returns the call for a command; `None` for a message, which needs no script. `bell` is the channel that announces entries.
pub(super) fn call(command: &Command, bell: &str) -> Option<Call> {
    let text = |text: &String| text.clone().into_bytes();
    Some(match command {
        Command::Look {
            node,
            info,
            generation,
        } => Call::new(
            &SCRIPTS.look,
            &["generation", "lease", "log", "nodes"],
            [text(generation), text(node), info.clone()],
        ),
        Command::Take {
            generation,
            seen,
            lease,
        } => Call::new(
            &SCRIPTS.take,
            &["generation", "lease"],
            [text(generation), text(seen), text(lease)],
        ),
        Command::Renew {
            generation,
            holder,
            lease,
        } => Call::new(
            &SCRIPTS.renew,
            &["generation", "lease"],
            [text(generation), text(holder), text(lease)],
        ),
        Command::Publish { .. } => return publish(command, bell),
        Command::Read { after, checkpoint } => Call::new(
            &SCRIPTS.read,
            &["generation", "lease", "log", "checkpoint"],
            [
                after.to_string().into_bytes(),
                u8::from(*checkpoint).to_string().into_bytes(),
                MAX_READ.to_string().into_bytes(),
            ],
        ),
        Command::Mirror {
            generation,
            node,
            mirror,
        } => Call::new(
            &SCRIPTS.mirror,
            &["generation", "mirrors"],
            [text(generation), text(node), mirror.clone()],
        ),
        Command::Mirrors => Call::new(&SCRIPTS.mirrors, &["mirrors"], []),
        Command::Forget { nodes, mirrors } => {
            let number = nodes.len().to_string().into_bytes();
            let ids = nodes.iter().chain(mirrors).map(text);
            Call::new(
                &SCRIPTS.forget,
                &["nodes", "mirrors"],
                std::iter::once(number).chain(ids),
            )
        }
        Command::Discard { generation, new } => {
            Call::new(&SCRIPTS.discard, &ALL_KEYS, [text(generation), text(new)])
        }
        Command::Claim { account, claims } => Call::new(
            &SCRIPTS.claim,
            &["accounts"],
            std::iter::once(account).chain(claims).map(text),
        ),
        Command::Send { .. } => return None,
    })
}

fn publish(command: &Command, bell: &str) -> Option<Call> {
    let Command::Publish {
        generation,
        holder,
        position,
        entry,
        checkpoint,
    } = command
    else {
        return None;
    };
    let first = [
        generation.clone().into_bytes(),
        holder.clone().into_bytes(),
        position.to_string().into_bytes(),
        entry.clone(),
        bell.as_bytes().to_vec(),
    ];
    let parts = checkpoint.iter().flatten().cloned();
    Some(Call::new(
        &SCRIPTS.publish,
        &["generation", "lease", "log", "checkpoint"],
        first.into_iter().chain(parts),
    ))
}
