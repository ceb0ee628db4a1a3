//! The task that looks and sends what is due, for all recipients.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    memory::Memory,
    message,
    outbox::{Verdict, Waiting},
    recipient::{Recipient, Recipients, after, exchange},
    sight::Sight,
    webhook::Undelivered,
};
use crate::{
    clock::Clock,
    decision::board::QueueKey,
    metrics::{Metrics, Notified},
    server::App,
    state::store::{Note, Store},
};

/// How often to look. Conditions must last for minutes, so some seconds do not matter; a look at a thousand queues takes a millisecond.
const LOOK: Duration = Duration::from_secs(5);

/// How often lasting conditions are stored if nothing was reported or sent. A restart can delay a message by this much.
const KEEP: Duration = Duration::from_secs(60);

/// What is sent.
enum Job {
    Message,
    Push(QueueKey),
}

/// A recipient's number, what was sent to it, and the outcome.
type Ended = (u64, Job, Result<(), Undelivered>);

type UnderWay = FuturesUnordered<BoxFuture<'static, Ended>>;

/// Looks and sends until `stop`. `newest` has the app of the newest config.
pub async fn run(
    newest: impl Fn() -> Arc<App>,
    mut recipients: watch::Receiver<Recipients>,
    store: Option<Arc<Store>>,
    stop: CancellationToken,
) {
    let app = newest();
    let mut messenger = Messenger::new(&app, store);
    messenger.exchange(&recipients.borrow_and_update().clone());
    drop(app);
    let mut under_way = UnderWay::new();
    while !stop.is_cancelled() {
        let app = newest();
        tokio::select! {
            () = stop.cancelled() => {}
            // Another app has replaced it.
            () = app.retired.cancelled() => {}
            () = messenger.work(&app, &mut recipients, &mut under_way) => {}
        }
    }
    // The next process sends again what is in flight.
    messenger.keep();
}

struct Messenger {
    recipients: Vec<Recipient>,
    /// How many recipients there have been; the number of the next one.
    count: u64,
    /// What an earlier run stored about recipients that have not been configured yet in this one.
    earlier: Memory,
    store: Option<Arc<Store>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    host: String,
    /// What was stored last, and when.
    kept: (String, Instant),
}

impl Messenger {
    fn new(app: &App, store: Option<Arc<Store>>) -> Self {
        let earlier = store.as_ref().and_then(|store| store.notices());
        Self {
            recipients: Vec::new(),
            count: 0,
            earlier: earlier.map_or_else(Memory::default, |json| Memory::from_json(&json)),
            store,
            clock: Arc::clone(&app.clock),
            metrics: Arc::clone(&app.metrics),
            host: message::host(),
            kept: (String::new(), Instant::now()),
        }
    }

    fn exchange(&mut self, recipients: &Recipients) {
        let clock = self.clock.as_ref();
        exchange(
            &mut self.recipients,
            recipients,
            &mut self.earlier,
            clock,
            &mut self.count,
        );
        // A recipient that was removed and comes back starts from nothing.
        self.earlier = Memory::default();
    }

    /// Looks and sends while this app is in force.
    async fn work(
        &mut self,
        app: &App,
        recipients: &mut watch::Receiver<Recipients>,
        under_way: &mut UnderWay,
    ) {
        let mut changes = app.decision_changes();
        // Changes before this moment are noted here.
        changes.mark_changed();
        let mut next_look = Instant::now();
        loop {
            if Instant::now() >= next_look {
                self.look(app);
                next_look = Instant::now() + LOOK;
            }
            self.send(app, under_way);
            let next = self.next().map_or(next_look, |next| next.min(next_look));
            tokio::select! {
                Some(ended) = under_way.next() => self.ended(ended),
                Ok(()) = changes.changed() => self.note(app),
                Ok(()) = recipients.changed() => {
                    let newest = recipients.borrow_and_update().clone();
                    self.exchange(&newest);
                    self.note(app);
                    next_look = Instant::now();
                }
                () = sleep_until(next) => {}
            }
        }
    }

    /// Reports what has lasted and what has ended.
    fn look(&mut self, app: &App) {
        if self.recipients.is_empty() {
            return;
        }
        let (sight, now) = (Sight::from_app(app), self.clock.now());
        let mut has_news = false;
        for recipient in &mut self.recipients {
            let after = after(&recipient.wants, app);
            let news = recipient.tracker.look(&sight, after, now);
            for json in message::messages(&news, now, &self.host) {
                has_news = true;
                if recipient.outbox.add(Waiting { json, made: now }) {
                    self.metrics.notified(Notified::Lost, 1);
                }
            }
        }
        let store_failed = || {
            self.store
                .as_ref()
                .is_some_and(|store| store.condition().is_degraded())
        };
        if has_news {
            self.keep();
        } else if self.kept.1.elapsed() >= KEEP {
            if store_failed() {
                self.kept.0.clear();
            }
            self.keep();
        }
    }

    /// Notes the newest answers.
    fn note(&mut self, app: &App) {
        let decisions = app.last_decisions();
        for recipient in &mut self.recipients {
            let replaced = recipient.note(app, &decisions);
            self.metrics.notified(Notified::Replaced, replaced);
        }
    }

    /// Starts to send what is due.
    fn send(&mut self, app: &App, under_way: &UnderWay) {
        let now = Instant::now();
        for recipient in &mut self.recipients {
            let (number, webhook) = (recipient.number, &recipient.webhook);
            if let Some(json) = recipient.outbox.due(now) {
                let (webhook, clock) = (Arc::clone(webhook), Arc::clone(&self.clock));
                under_way.push(Box::pin(async move {
                    (number, Job::Message, webhook.deliver(json, &*clock).await)
                }));
            }
            while let Some(key) = recipient.pushes.due(now) {
                let Some((gist, json)) = app.last_decision(&key) else {
                    recipient.pushes.forget(&key);
                    continue;
                };
                recipient.pushes.sending(&key, gist);
                let (webhook, clock) = (Arc::clone(webhook), Arc::clone(&self.clock));
                under_way.push(Box::pin(async move {
                    (number, Job::Push(key), webhook.deliver(json, &*clock).await)
                }));
            }
        }
    }

    /// When something may become due.
    fn next(&self) -> Option<Instant> {
        let next = |one: &Recipient| one.outbox.next().into_iter().chain(one.pushes.next()).min();
        self.recipients.iter().filter_map(next).min()
    }

    fn ended(&mut self, (number, job, outcome): Ended) {
        let (now, at) = (self.clock.now(), Instant::now());
        let mut recipients = self.recipients.iter_mut();
        let Some(recipient) = recipients.find(|one| one.number == number) else {
            return;
        };
        let mut lost = false;
        match (&job, &outcome) {
            (Job::Message, Ok(())) => recipient.outbox.sent(),
            (Job::Message, Err(why)) => {
                lost = recipient.outbox.failed(why, now, at) == Verdict::Lost;
            }
            (Job::Push(key), Ok(())) => recipient.pushes.sent(key),
            (Job::Push(key), Err(why)) => recipient.pushes.failed(key, why.wait, at),
        }
        recipient.say(&outcome, lost);
        let outcome = match outcome {
            Ok(()) => Notified::Sent,
            Err(_) => Notified::Failed,
        };
        self.metrics.notified(outcome, 1);
        if lost {
            self.metrics.notified(Notified::Lost, 1);
        }
        if matches!(job, Job::Message) {
            self.keep();
        }
    }

    /// Stores what must survive a restart, if it has changed.
    fn keep(&mut self) {
        let Some(store) = &self.store else { return };
        self.kept.1 = Instant::now();
        let mut memory = Memory::default();
        for one in &self.recipients {
            memory.add(
                one.webhook.file(),
                &one.tracker,
                &one.outbox,
                self.clock.as_ref(),
            );
        }
        let json = memory.to_json();
        if json != self.kept.0 && store.try_keep(Note::Notices(json.clone())) {
            self.kept.0 = json;
        }
    }
}

impl Recipient {
    /// Logs changes: the recipient fails, it takes messages again, or a message is given up.
    fn say(&mut self, outcome: &Result<(), Undelivered>, lost: bool) {
        let url_file = self.webhook.file().display();
        match outcome {
            Ok(()) if self.is_failing => {
                tracing::info!(%url_file, "notifications are delivered again");
            }
            Err(error) if lost => {
                tracing::error!(%url_file, %error, "a notification could not be delivered and is given up");
            }
            Err(error) if !self.is_failing => {
                tracing::warn!(%url_file, %error, "a notification could not be delivered; it will be retried");
            }
            _ => {}
        }
        self.is_failing = outcome.is_err();
    }
}
