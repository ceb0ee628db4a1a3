//! One recipient: its address, what it wants to be told, and what it has been told.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;

use super::{
    memory::Memory, outbox::Outbox, pushes::Pushes, sight::Subject, tracker::Tracker,
    webhook::Webhook,
};
use crate::{
    clock::Clock,
    config::{Notify, Subscription, WebhookUrl},
    decision::board::QueueKey,
    server::{App, Gist},
};

/// All recipients, with addresses that can be used.
#[derive(Clone, Debug, Default)]
pub struct Recipients(Arc<[Settings]>);

/// One address with every `[[notify]]` that names it.
#[derive(Debug)]
struct Settings {
    webhook: Arc<Webhook>,
    wants: Arc<[Notify]>,
}

/// Reads the addresses. It reads files, so it must not run in a task.
///
/// # Errors
/// A file has no usable address.
pub fn recipients(notify: &[Notify]) -> anyhow::Result<Recipients> {
    let mut by_file: BTreeMap<&PathBuf, Vec<Notify>> = BTreeMap::new();
    for one in notify {
        by_file.entry(&one.url_file).or_default().push(one.clone());
    }
    let settings = by_file.into_iter().map(|(file, wants)| {
        let plain_http = wants.iter().any(|one| one.insecure_plain_http);
        let address = WebhookUrl::read(file, plain_http)?;
        let webhook = Webhook::new(file.as_path().into(), &address)
            .with_context(|| format!("notify: {}", file.display()))?;
        anyhow::Ok(Settings {
            webhook: Arc::new(webhook),
            wants: wants.into(),
        })
    });
    Ok(Recipients(settings.collect::<anyhow::Result<_>>()?))
}

impl Recipients {
    /// Returns the address of each.
    pub fn webhooks(&self) -> impl Iterator<Item = &Arc<Webhook>> {
        self.0.iter().map(|settings| &settings.webhook)
    }
}

/// A recipient in use.
#[derive(Debug)]
pub(super) struct Recipient {
    /// Never reused, so that the outcome of a message to a former recipient is not taken for this one's.
    pub number: u64,
    pub webhook: Arc<Webhook>,
    pub wants: Arc<[Notify]>,
    pub tracker: Tracker,
    pub outbox: Outbox,
    pub pushes: Pushes<QueueKey, Gist>,
    /// Whether the last attempt failed and the log has said so.
    pub is_failing: bool,
}

impl Recipient {
    fn file(&self) -> &Path {
        self.webhook.file()
    }

    /// Notes the answers to push. Returns how many others were replaced before they were sent.
    pub fn note(&mut self, app: &App, decisions: &[(QueueKey, Gist)]) -> u64 {
        let wants = Arc::clone(&self.wants);
        let mut pushed = wants
            .iter()
            .filter(|want| want.what == Subscription::Decisions);
        // The config rejects two of them for one address.
        let Some(want) = pushed.next() else {
            self.pushes.retain(|_| false);
            return 0;
        };
        let selected = selected(want, app);
        let is_in = |key: &QueueKey| {
            selected
                .as_ref()
                .is_none_or(|selected| selected.contains(key))
        };
        let mut replaced = 0;
        for (key, gist) in decisions.iter().filter(|(key, _)| is_in(key)) {
            replaced += u64::from(self.pushes.note(key, *gist));
        }
        self.pushes
            .retain(|key| is_in(key) && app.queue(key).is_some());
        replaced
    }
}

/// How long a condition must last before it is reported; `None` if the recipient does not want it.
pub(super) fn after<'a>(
    wants: &'a [Notify],
    app: &App,
) -> impl Fn(&Subject) -> Option<Duration> + use<'a> {
    let rules = wants.iter().filter_map(|want| match &want.what {
        Subscription::Conditions { on, after } => Some((on, *after, selected(want, app))),
        Subscription::Decisions => None,
    });
    let rules: Vec<_> = rules.collect();
    move |subject| {
        let wanted = rules
            .iter()
            .find(|(on, ..)| on.contains(&subject.condition));
        let (_, after, selected) = wanted?;
        let is_in =
            |selected: &HashSet<QueueKey>| subject.key().is_none_or(|key| selected.contains(&key));
        selected.as_ref().is_none_or(is_in).then_some(*after)
    }
}

/// The queues that a `[[notify]]` names, as far as they are known yet; `None` for all.
fn selected(want: &Notify, app: &App) -> Option<HashSet<QueueKey>> {
    let names = want.queues.as_deref()?;
    let found = names.iter().filter_map(|name| app.find_named(name).ok());
    Some(found.map(|queue| queue.key.clone()).collect())
}

/// Replaces the recipients. Those that stay remember what they have been told; new ones start with what an earlier run stored.
pub(super) fn exchange(
    present: &mut Vec<Recipient>,
    recipients: &Recipients,
    memory: &mut Memory,
    clock: &dyn Clock,
    count: &mut u64,
) {
    let mut last = std::mem::take(present);
    for settings in &*recipients.0 {
        let file = settings.webhook.file();
        let stays = last.iter().position(|one| one.file() == &**file);
        let mut recipient = match stays {
            Some(place) => last.swap_remove(place),
            None => {
                let (tracker, outbox) = memory.take(file, clock);
                *count += 1;
                Recipient {
                    number: *count,
                    webhook: Arc::clone(&settings.webhook),
                    wants: Arc::clone(&settings.wants),
                    tracker,
                    outbox,
                    pushes: Pushes::default(),
                    is_failing: false,
                }
            }
        };
        recipient.webhook = Arc::clone(&settings.webhook);
        recipient.wants = Arc::clone(&settings.wants);
        recipient.outbox.retry();
        recipient.pushes.retry();
        present.push(recipient);
    }
}
