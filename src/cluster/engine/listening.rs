//! Listens to the engine's channels, over a separate connection.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, future::select_ok};
use redis::{Client, Msg, aio::PubSub};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{CONNECT, EngineError, RedisEngine};
use crate::{clock::Clock, cluster::message::Arrived};

/// How long to wait before reconnecting after the listening connection was lost.
const LISTEN_AGAIN: Duration = Duration::from_millis(500);

/// How often the engine is asked for a sign of life on the listening connection.
const PING: Duration = Duration::from_millis(100);

/// How long the engine may take for a sign. Then the connection hangs.
const PONG: Duration = Duration::from_secs(3);

/// Until the last sign was asked for so long ago, messages come at once. A call waits longer for its seat.
const IN_TIME: Duration = Duration::from_millis(200);

/// How often Sentinels are asked for the master. After a planned failover, the old master acknowledges writes for 11 s, and they are lost.
const LOOK_FOR_MASTER: Duration = Duration::from_secs(1);

/// After this many looks in a row without a majority of the Sentinels, the connection is dropped: the master may be cut off together with this node,
/// and the others may elect another one. That takes them at least two seconds, and 31 s by default, so this node's lease ends before another node takes
/// it there. A busy machine may miss one look.
const MAX_UNHEARD: u32 = 3;

/// When to look for the master, and how often that failed in a row.
#[derive(Debug)]
struct Looks {
    next: Instant,
    unheard: u32,
}

impl Looks {
    fn new() -> Self {
        Self {
            next: Instant::now() + LOOK_FOR_MASTER,
            unheard: 0,
        }
    }
}

/// A message on the listening connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An account's log has grown.
    Bell(String),
    /// A message for the account's leader.
    Question(String, Arrived),
    /// A message for this node.
    Answer(Vec<u8>),
}

impl Heard {
    /// Creates a question to an account's leader, which says later when it was sent.
    #[cfg(test)]
    pub(crate) fn question(account: &str, question: Vec<u8>) -> Self {
        let after = Duration::MAX;
        Self::Question(account.to_owned(), Arrived { after, question })
    }
}

impl RedisEngine {
    /// Listens for bells and messages until `stop`, over a separate connection. Messages are lost while the channel is full or the
    /// connection is down.
    pub async fn listen(
        &self,
        node: &str,
        heard: mpsc::Sender<Heard>,
        clock: &dyn Clock,
        stop: CancellationToken,
    ) {
        let mut looks = Looks::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.has_moved(&mut looks) => {}
                listened = self.listen_once(node, &heard, clock) => {
                    if let Err(error) = listened && self.is_up() {
                        tracing::debug!(%error, "the connection for the engine's messages is lost");
                    }
                }
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    /// Waits until Sentinels name another master, or none, and drops the connection to the old one.
    async fn has_moved(&self, looks: &mut Looks) {
        loop {
            sleep_until(looks.next).await;
            looks.next = Instant::now() + LOOK_FOR_MASTER;
            let (place, server) = (self.place(), self.server(""));
            if !place.is_sentinel() {
                continue;
            }
            match place.find().await {
                Ok(found) => {
                    looks.unheard = 0;
                    if server.link.leave_all_but(&found[0]).await {
                        tracing::info!(master = %found[0].addr(), "the cluster's engine has another master");
                        return;
                    }
                }
                Err(error) => {
                    looks.unheard += 1;
                    if looks.unheard >= MAX_UNHEARD && server.link.leave().await {
                        tracing::warn!(%error, "the cluster's engine may have another master, so this node does not use it");
                        return;
                    }
                }
            }
        }
    }

    async fn subscription(&self) -> Result<PubSub, EngineError> {
        let subscribe = |info| async move {
            let client = Client::open(info)?;
            client.get_async_pubsub().await.map_err(EngineError::from)
        };
        let found = self.place().find().await?;
        let (subscription, _) = select_ok(found.into_iter().map(subscribe).map(Box::pin)).await?;
        Ok(subscription)
    }

    async fn listen_once(
        &self,
        node: &str,
        heard: &mpsc::Sender<Heard>,
        clock: &dyn Clock,
    ) -> Result<(), EngineError> {
        let silent = |_| EngineError::Silent;
        let listening = timeout(CONNECT, self.subscription());
        let (mut sink, mut messages) = listening.await.map_err(silent)??.split();
        let mine = format!("{}:node:{node}", self.prefix);
        let subscribed = timeout(CONNECT, async {
            sink.subscribe(mine.as_str()).await?;
            sink.psubscribe(format!("{}:bell:*", self.prefix)).await
        });
        subscribed.await.map_err(silent)??;
        // When a sign was last asked for, by both clocks. The engine got all questions that come next after that moment.
        let asking = || (clock.now().boot, Instant::now());
        let mut sign = asking();
        let asks = sink.psubscribe(format!("{}:ask:*", self.prefix));
        timeout(CONNECT, asks).await.map_err(silent)??;
        // A process that is too busy to listen reads the log within a second anyway.
        let hear = |message: &Msg, (sign, _)| {
            let after = sent_after(sign, clock.now().boot);
            let _ = heard.try_send(self.read_message(message, after));
        };
        loop {
            // Not counted from the answer: on a slow link, the next sign would be later still.
            let due = sign.1 + PING;
            let pinged = async {
                sleep_until(due).await;
                let asked = asking();
                let () = timeout(PONG, sink.ping()).await.map_err(silent)??;
                Ok::<_, EngineError>(asked)
            };
            tokio::pin!(pinged);
            let asked = loop {
                tokio::select! {
                    biased;
                    message = messages.next() => {
                        let message = message.ok_or(EngineError::Silent)?;
                        hear(&message, sign);
                    }
                    asked = &mut pinged => break asked?,
                }
            };
            // Messages that came before this sign are as old as the last one.
            while let Some(message) = messages.next().now_or_never() {
                hear(&message.ok_or(EngineError::Silent)?, sign);
            }
            sign = asked;
        }
    }

    fn read_message(&self, message: &Msg, after: Duration) -> Heard {
        let rest = message.get_channel_name().strip_prefix(&self.prefix);
        let data = message.get_payload_bytes().to_vec();
        let parts: Option<Vec<&str>> = rest.map(|rest| rest.splitn(3, ':').collect());
        match parts.as_deref() {
            Some(["", "bell", account]) => Heard::Bell((*account).to_owned()),
            Some(["", "ask", account]) => {
                let question = data;
                Heard::Question((*account).to_owned(), Arrived { after, question })
            }
            _ => Heard::Answer(data),
        }
    }
}

/// Returns when the engine got a message at the earliest that comes now. While signs come in time, it got it just now. Otherwise the message may have
/// waited since the last sign was asked for: in the engine, in the network, or here, because this process was paused.
fn sent_after(sign: Duration, now: Duration) -> Duration {
    match now > sign + IN_TIME {
        true => sign,
        false => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::engine::{Address, sentinels::Sentinels};

    #[test]
    fn a_message_is_as_old_as_the_last_sign_unless_that_was_asked_for_just_now() {
        let ms = Duration::from_millis;
        for (sign, now, after) in [
            (ms(5_000), ms(5_000), ms(5_000)),
            (ms(5_000), ms(5_200), ms(5_200)),
            (ms(5_000), ms(5_201), ms(5_000)),
            (ms(5_000), ms(9_000), ms(5_000)),
        ] {
            assert_eq!(sent_after(sign, now), after, "{sign:?}, {now:?}");
        }
        assert!(PING < IN_TIME, "else no message would come in time");
        assert!(IN_TIME < crate::cluster::message::SEAT_WITHIN);
    }

    #[tokio::test]
    async fn a_master_that_most_sentinels_no_longer_confirm_is_left() {
        let sentinels = Sentinels::with_master(3).await;
        let engine = RedisEngine::new(&Address {
            url: sentinels.url(),
            password: None,
            prefix: "p".to_owned(),
            replicas: 0,
        });
        let engine = engine.unwrap();
        let (place, server) = (engine.place(), engine.server(""));
        // If this process is paused, it may miss an answer.
        while server.link.connection(&place, None).await.is_err() {
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
        sentinels.end_all_but(1);
        tokio::time::pause();
        let (begun, mut looks) = (Instant::now(), Looks::new());
        let left = timeout(LOOK_FOR_MASTER * 10, engine.has_moved(&mut looks));
        left.await.expect("it leaves");
        assert!(begun.elapsed() >= LOOK_FOR_MASTER * MAX_UNHEARD);
        assert!(server.link.connection(&place, None).await.is_err());
    }
}
