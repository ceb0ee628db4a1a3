//! A history for tests that read one.

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    Recorder,
    record::{Watch, Watched},
};
use crate::{
    clock::Clock,
    decision::board::{Board, QueueKey},
    fixtures::{Still, available, snapshot},
    metrics::Metrics,
};

/// Records `polls` polls of a queue with `agents` agents, five minutes apart by the clock, which it moves.
pub(crate) fn recorded(
    path: &Path,
    clock: &Arc<Still>,
    key: &QueueKey,
    polls: usize,
    agents: usize,
) -> Recorder {
    let board = Arc::new(Board::new([key.clone()]));
    let metrics = Arc::new(Metrics::new([key.clone()], clock.now()));
    let mut watch = Watch::new(Watched::new(&board, &metrics), clock.now());
    let keep = Arc::clone(clock) as Arc<dyn Clock>;
    let recorder = Recorder::start(path, 7, keep).expect("a thread");
    let mut notes = Vec::new();
    for poll in 0..polls {
        clock.pass(Duration::from_secs(300));
        let seen = snapshot(clock.now(), available(agents + poll % 2));
        board.publish(key, seen, clock.now());
        notes.extend(watch.look(clock.now(), false));
    }
    recorder.writer.send(notes);
    recorder.finish(Duration::from_secs(120));
    recorder
}
