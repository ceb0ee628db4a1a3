//! The engine's side of each [`Command`]: one Lua script each, which happens completely or not at all.
//!
//! All keys of an account share a hash tag, and scripts use only keys that they are given, so a Redis Cluster runs them as well.

use std::sync::LazyLock;

use redis::Script;

use super::{
    codec::{MAX_PACKED, MAX_PARTS},
    command::{Command, MAX_READ},
};

/// How an error begins with which a script says that a key holds what openseat cannot have written.
pub(super) const SPOILT: &str = "SPOILT";

/// The maximum length of a lease and all nodes in bytes: far more than a thousand nodes have, at a few hundred bytes each.
const MAX_LOOK: usize = 8 * 1024 * 1024;

/// The maximum length of all mirrors in bytes. At 1 Gbit/s an engine sends 50 MB within the timeout of an answer, 400 ms, and this in 270 ms. The
/// mirror of an hour of a thousand requests takes 8 kB, so these are four thousand.
const MAX_MIRRORS: usize = 32 * 1024 * 1024;

/// The maximum of nodes or mirrors. While nobody leads, no node is removed: one that is restarted each second for two hours leaves 7,200. A look at
/// as many takes some milliseconds, and nodes read all of them, because any of them may be the one that knows the hour.
const MAX_FIELDS: usize = 16_384;

/// KEYS: generation, lease, log, nodes. ARGV: generation, node, info, the maximum length of lease and nodes, the maximum of nodes.
///
/// What is too long takes so long that the reply may come too late. So the mark says it to all later readers: `!` is none of openseat's.
const LOOK: &str = "
local generation = redis.call('GET', KEYS[1])
if not generation then
  generation = ARGV[1]
  redis.call('SET', KEYS[1], generation)
elseif #generation > 64 or not string.find(generation, '^%w+$') then
  redis.call('SET', KEYS[1], '!')
  return redis.error_reply('SPOILT the mark of the data set is none')
end
redis.call('HSET', KEYS[4], ARGV[2], ARGV[3])
local last = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
local lease, nodes = redis.call('GET', KEYS[2]) or '', redis.call('HGETALL', KEYS[4])
local length = #lease
for place = 1, #nodes do length = length + #nodes[place] end
if length > tonumber(ARGV[4]) or #nodes > 2 * tonumber(ARGV[5]) then
  redis.call('EXPIRE', KEYS[2], 0)
  redis.call('EXPIRE', KEYS[4], 0)
  redis.call('SET', KEYS[1], '!')
  return redis.error_reply('SPOILT the lease or the list of nodes is too long')
end
return {generation, lease, last[1] and last[1][1] or '0-0', redis.call('TIME'), nodes}
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
/// If the last entry has this position, it is this entry: only the holder writes in its epoch, and it may repeat a command that got no answer. If a
/// log refuses an entry after its last one, somebody has set its last position.
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
  local is_after = string.find(added.err, 'equal or smaller', 1, true) or string.find(added.err, 'exhausted', 1, true)
  if not is_after then return added end
  if redis.call('XRANGE', KEYS[3], ARGV[3], '+', 'COUNT', 1)[1] then return {0, time} end
  return redis.error_reply('SPOILT the log takes no more entries')
end
local parts = #ARGV - 5
if parts > 0 then
  redis.call('EXPIRE', KEYS[4], 0)
  redis.call('HSET', KEYS[4], 'at', ARGV[3], 't', at, 'parts', parts)
  for part = 1, parts do redis.call('HSET', KEYS[4], part, ARGV[part + 5]) end
  redis.call('XTRIM', KEYS[3], 'MINID', ARGV[3])
end
redis.call('PUBLISH', ARGV[5], ARGV[3])
return {1, time}
";

/// KEYS: generation, lease, log, checkpoint. ARGV: position, 1 for the checkpoint, the maximum of entries, of parts, and of bytes in each.
///
/// A log begins with the entry that came with its checkpoint. Without that entry or the checkpoint, nobody knows what the log lacks.
/// Earlier versions wrote a checkpoint in one piece, as `data`.
const READ: &str = "
local function spoilt(why) return redis.error_reply('SPOILT ' .. why) end
local function too_long(why)
  redis.call('EXPIRE', KEYS[3], 0)
  redis.call('EXPIRE', KEYS[4], 0)
  redis.call('SET', KEYS[1], '!')
  return spoilt(why)
end
local function is_number(text, digits) return text and #text <= digits and string.find(text, '^%d+$') end
local most, longest = tonumber(ARGV[3]), tonumber(ARGV[5])
local checkpoint, entries = {}, nil
if ARGV[2] == '1' then
  local at = redis.call('HMGET', KEYS[4], 'at', 't', 'parts', 'data')
  if at[1] then
    local epoch, number = string.match(at[1], '^(%d+)%-(%d+)$')
    if not (is_number(epoch, 15) and is_number(number, 15)) then return spoilt('the position of the checkpoint is none') end
    entries = redis.call('XRANGE', KEYS[3], at[1], '+', 'COUNT', most + 1)
    if not entries[1] or entries[1][1] ~= at[1] then return spoilt('the log lacks the entry of its checkpoint') end
    table.remove(entries, 1)
    local parts = at[3] or '0'
    if not is_number(parts, 9) or tonumber(parts) > tonumber(ARGV[4]) then return spoilt('the checkpoint has no number of parts') end
    checkpoint = {at[1], at[2], at[4] or nil}
    for part = 1, tonumber(parts) do
      local data = redis.call('HGET', KEYS[4], part)
      if not data then return spoilt('the checkpoint lacks a part') end
      if #data > longest then return too_long('a part of the checkpoint is too long') end
      checkpoint[part + 2] = data
    end
  else
    entries = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)
    if entries[1] then return spoilt('the log has no checkpoint') end
  end
else
  entries = redis.call('XRANGE', KEYS[3], '(' .. ARGV[1], '+', 'COUNT', most)
end
for place = 1, #entries do
  for field = 1, #entries[place][2] do
    if #entries[place][2][field] > longest then return too_long('an entry of the log is too long') end
  end
end
local generation, lease = redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[2]) or ''
return {generation, lease, redis.call('TIME'), checkpoint, entries}
";

/// KEYS: generation, mirrors. ARGV: generation, node, mirror. Mirrors matter for an hour; two hours allow for a clock that jumps by one.
const MIRROR: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[2], 7200)
return 1
";

/// KEYS: generation, mirrors. ARGV: the maximum length of all, the maximum of them.
const MIRRORS: &str = "
local mirrors = redis.call('HGETALL', KEYS[2])
local length = 0
for place = 1, #mirrors do length = length + #mirrors[place] end
if length <= tonumber(ARGV[1]) and #mirrors <= 2 * tonumber(ARGV[2]) then return mirrors end
redis.call('EXPIRE', KEYS[2], 0)
redis.call('SET', KEYS[1], '!')
return redis.error_reply('SPOILT the mirrors are too long')
";

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

/// KEYS: accounts. ARGV: account, its claims. All accounts have equally long keys of letters and digits.
const CLAIM: &str = "
local discarded = 0
for place = 1, #ARGV do
  local registered = redis.pcall('HGET', KEYS[1], ARGV[place])
  local is_key = type(registered) == 'string' and #registered == #ARGV[1] and string.find(registered, '^%w+$')
  if registered and not is_key then
    redis.call('EXPIRE', KEYS[1], 0)
    discarded = 1
  end
end
for place = 2, #ARGV do
  local registered = redis.call('HGET', KEYS[1], ARGV[place])
  if registered and registered ~= ARGV[1] then return {place - 1, discarded} end
end
for place = 2, #ARGV do redis.call('HSET', KEYS[1], ARGV[place], ARGV[1]) end
return {0, discarded}
";

/// The names of all keys of an account, the mark of its data set first.
pub(super) const ALL_KEYS: [&str; 6] = [
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
        Command::Look { .. } | Command::Read { .. } | Command::Mirrors => return reading(command),
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
        Command::Mirror {
            generation,
            node,
            mirror,
        } => Call::new(
            &SCRIPTS.mirror,
            &["generation", "mirrors"],
            [text(generation), text(node), mirror.clone()],
        ),
        Command::Forget { nodes, mirrors } => {
            let first = number(nodes.len());
            let ids = nodes.iter().chain(mirrors).map(text);
            Call::new(
                &SCRIPTS.forget,
                &["nodes", "mirrors"],
                std::iter::once(first).chain(ids),
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

/// Returns whether the engine's user needs the right to this command of the engine to run one of openseat's.
#[cfg(test)]
pub(super) fn needs(command: &Command, right: &str) -> bool {
    let script = match command {
        Command::Look { .. } => LOOK,
        Command::Take { .. } => TAKE,
        Command::Renew { .. } => RENEW,
        Command::Publish { .. } => PUBLISH,
        Command::Read { .. } => READ,
        Command::Mirror { .. } => MIRROR,
        Command::Mirrors => MIRRORS,
        Command::Forget { .. } => FORGET,
        Command::Discard { .. } => DISCARD,
        Command::Claim { .. } => CLAIM,
        Command::Send { .. } => "'PUBLISH'",
    };
    script.contains(&format!("'{right}'"))
}

fn number(number: usize) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// Returns the call for a command that reads what may have any length; `None` for all others.
fn reading(command: &Command) -> Option<Call> {
    let text = |text: &String| text.clone().into_bytes();
    Some(match command {
        Command::Look {
            node,
            info,
            generation,
        } => Call::new(
            &SCRIPTS.look,
            &["generation", "lease", "log", "nodes"],
            [
                text(generation),
                text(node),
                info.clone(),
                number(MAX_LOOK),
                number(MAX_FIELDS),
            ],
        ),
        Command::Read { after, checkpoint } => Call::new(
            &SCRIPTS.read,
            &["generation", "lease", "log", "checkpoint"],
            [
                after.to_string().into_bytes(),
                u8::from(*checkpoint).to_string().into_bytes(),
                number(MAX_READ),
                number(MAX_PARTS),
                number(MAX_PACKED),
            ],
        ),
        Command::Mirrors => Call::new(
            &SCRIPTS.mirrors,
            &["generation", "mirrors"],
            [number(MAX_MIRRORS), number(MAX_FIELDS)],
        ),
        _ => return None,
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
