//! Other nodes of the cluster that wait for answers.

use std::{collections::VecDeque, sync::Arc};

use crate::cluster::{
    member::Member,
    message::{Answer, Said},
};

/// How many questions are remembered: as many as fifty busy nodes put while one of them waits.
const REMEMBERED: usize = 1_024;

/// The newest questions. Nodes put a question again if it may be lost, so a leader acts once on each, and repeats its answer.
#[derive(Debug, Default)]
pub(super) struct Heard(VecDeque<(u64, String, Option<Said>)>);

/// What became of a question.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    /// It was never heard before.
    New,
    /// It has no answer yet.
    Waits,
    /// It has this answer.
    Answered(Said),
}

impl Heard {
    /// Records a question, and returns what became of it if it was heard before.
    pub fn hear(&mut self, node: &str, id: u64) -> Fate {
        let mut known = self.0.iter();
        match known.find(|(one, asker, _)| *one == id && asker == node) {
            Some((_, _, Some(said))) => Fate::Answered(said.clone()),
            Some((_, _, None)) => Fate::Waits,
            None => {
                if self.0.len() == REMEMBERED {
                    self.0.pop_front();
                }
                self.0.push_back((id, node.to_owned(), None));
                Fate::New
            }
        }
    }

    /// Records an answer.
    pub fn answered(&mut self, node: &str, answer: &Answer) {
        let mut known = self.0.iter_mut();
        if let Some((_, _, said)) = known.find(|(one, asker, _)| *one == answer.id && asker == node)
        {
            *said = Some(answer.said.clone());
        }
    }
}

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

    /// Answers the node at once.
    pub fn tell(self, said: Said) {
        let member = Arc::clone(&self.member);
        let (node, answer) = self.answer(said);
        member.answer_soon(node, answer);
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
