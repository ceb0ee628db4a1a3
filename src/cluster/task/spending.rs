//! The requests of the hour: those in the log, and those that other nodes want to send from a shared budget.

use std::time::Duration;

use super::Task;
use crate::{
    budget::{Mark, Mirrored},
    cluster::{
        command::{Command, Listener},
        entry::{Entry, Silence},
        message::{Answer, Arrived, Question, Said, What},
    },
};

impl Task {
    /// Returns everything in the window. It is empty for an account that shares its budget: the budget's log has its requests.
    pub(super) fn requests(&self) -> Vec<Mirrored> {
        let budget = self.deps.budget.as_ref();
        budget.map_or_else(Vec::new, |budget| budget.mirrored(self.deps.process))
    }

    /// Returns CallTools' pauses that are in progress.
    pub(super) fn silences(&self) -> Vec<Silence> {
        let Some(budget) = &self.deps.budget else {
            return Vec::new();
        };
        let (throttled, paused) = budget.silence();
        let silences = [(true, throttled), (false, paused)].into_iter();
        silences
            .filter(|(_, wait)| wait.is_some())
            .map(|(throttled, wait)| Silence { throttled, wait })
            .collect()
    }

    /// Counts the requests and pauses of other nodes.
    pub(super) fn count(&self, entry: &Entry) {
        let Some(budget) = &self.deps.budget else {
            return;
        };
        budget.mirror(&entry.requests);
        for silence in &entry.silences {
            budget.silenced_elsewhere(silence.throttled, silence.wait);
        }
    }

    /// Answers a question that another node asks the leader of a budget.
    pub(super) async fn hear_spender(&mut self, asked: &Arrived) {
        let waited = self.now().boot.saturating_sub(asked.after);
        if let Ok(question) = serde_json::from_slice::<Question>(&asked.question)
            && !question.is_too_late(waited)
        {
            self.answer_spender(question).await;
        }
    }

    /// Answers a question about a request that another node sends.
    pub(super) async fn answer_spender(&mut self, question: Question) {
        let Question { id, node, what, .. } = question;
        match what {
            What::Spend { mark, polling } => {
                let said = self.spend(mirrored(mark, polling)).await;
                let message = serde_json::to_vec(&Answer { id, said });
                let message = message.expect("texts and numbers serialize");
                let to = Listener::Node(node);
                self.ask(&Command::Send { to, message }).await;
            }
            What::Answered { mark, polling } => {
                let answered = mirrored(mark, polling).answered_now();
                self.note(Entry {
                    requests: vec![answered],
                    ..Entry::default()
                })
                .await;
            }
            What::Silenced { throttled, wait_ms } => {
                let wait = wait_ms.map(Duration::from_millis);
                self.note(Entry {
                    silences: vec![Silence { throttled, wait }],
                    ..Entry::default()
                })
                .await;
            }
            _ => {}
        }
    }

    /// Counts another node's request. The node may send it once it is in the log.
    async fn spend(&mut self, request: Mirrored) -> Said {
        let budget = self.deps.budget.as_ref();
        if !budget.is_some_and(|budget| budget.admit_mirrored(&request)) {
            return Said::Full;
        }
        let entry = Entry {
            requests: vec![request],
            ..Entry::default()
        };
        match self.leads() && self.publish(entry).await {
            true => Said::Done,
            false => Said::Unlogged,
        }
    }

    /// Counts what another node reports, and publishes it.
    async fn note(&mut self, entry: Entry) {
        self.count(&entry);
        if self.leads() {
            self.publish(entry).await;
        }
    }
}

fn mirrored((process, number): (u64, u64), polling: bool) -> Mirrored {
    Mirrored::asked_for(Mark { process, number }, polling)
}
