//! A node of the cluster that waits for an answer.

use std::sync::Arc;

use crate::cluster::{
    member::Member,
    message::{Answer, Said},
};

/// Answers a node once a job has ended. If its question leads to no job, dropping this sends that answer.
#[derive(Debug)]
pub(super) struct Remote {
    member: Arc<Member>,
    node: String,
    id: u64,
    is_answered: bool,
}

impl Remote {
    pub fn new(member: Arc<Member>, node: String, id: u64) -> Self {
        Self {
            member,
            node,
            id,
            is_answered: false,
        }
    }

    /// Returns the node and the answer for it.
    pub fn answer(mut self, said: Said) -> (String, Answer) {
        self.is_answered = true;
        (std::mem::take(&mut self.node), Answer { id: self.id, said })
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if !self.is_answered {
            let said = Said::Failed("no newer data is available now".to_owned());
            let answer = Answer { id: self.id, said };
            self.member
                .answer_soon(std::mem::take(&mut self.node), answer);
        }
    }
}
