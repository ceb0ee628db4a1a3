//! What outlives the process: for each recipient, the conditions that last and the messages that wait. It contains no addresses.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    outbox::{Outbox, Waiting},
    sight::Subject,
    tracker::{Lasting, Tracker},
};
use crate::clock::{Clock, stored_time::StoredTime};

/// See the [module](self).
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    recipients: Vec<KeptRecipient>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptRecipient {
    /// The file with its address.
    file: PathBuf,
    lasting: Vec<KeptCondition>,
    waiting: Vec<KeptMessage>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptCondition {
    #[serde(flatten)]
    subject: Subject,
    since: StoredTime,
    seen: StoredTime,
    told: bool,
    /// When it was told; absent in files of older versions.
    #[serde(default)]
    told_at: Option<StoredTime>,
    asked: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptMessage {
    json: String,
    made: StoredTime,
}

impl Memory {
    /// Reads what an earlier run stored. What cannot be read is dropped.
    pub fn from_json(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_else(|error| {
            tracing::warn!(%error, "the notifications already sent cannot be read; what still lasts is reported again");
            Self::default()
        })
    }

    /// The form that is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers can be written")
    }

    /// Adds a recipient.
    pub fn add(&mut self, file: &Path, tracker: &Tracker, outbox: &Outbox, clock: &dyn Clock) {
        let time = |moment| StoredTime::new(moment, clock);
        let lasting = tracker
            .lasting
            .iter()
            .map(|(subject, lasting)| KeptCondition {
                subject: subject.clone(),
                since: time(lasting.since),
                seen: time(lasting.seen),
                told: lasting.told.is_some(),
                told_at: lasting.told.map(time),
                asked: lasting.asked,
            });
        let waiting = outbox.waiting().map(|waiting| KeptMessage {
            json: String::from_utf8_lossy(&waiting.json).into_owned(),
            made: time(waiting.made),
        });
        self.recipients.push(KeptRecipient {
            file: file.to_owned(),
            lasting: lasting.collect(),
            waiting: waiting.collect(),
        });
    }

    /// What was stored about a recipient. Times that can no longer be placed count as now.
    pub fn take(&mut self, file: &Path, clock: &dyn Clock) -> (Tracker, Outbox) {
        let Some(place) = self.recipients.iter().position(|one| one.file == file) else {
            return Default::default();
        };
        let kept = self.recipients.swap_remove(place);
        let moment = |time: &StoredTime| time.to_moment(clock).unwrap_or_else(|| clock.now());
        let lasting = kept.lasting.into_iter().map(|kept| {
            let (since, seen) = (moment(&kept.since), moment(&kept.seen));
            // Ids of older versions had the beginning.
            let told = kept.told_at.as_ref().map_or(since, moment);
            let lasting = Lasting::restored(since, seen, kept.told.then_some(told), kept.asked);
            (kept.subject, lasting)
        });
        let waiting = kept.waiting.into_iter().map(|kept| Waiting {
            made: moment(&kept.made),
            json: kept.json.into(),
        });
        let tracker = Tracker {
            lasting: lasting.collect(),
        };
        (tracker, Outbox::with(waiting))
    }
}
