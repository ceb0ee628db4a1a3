//! Ctrl-C while questions are asked: the terminal is as before, and no file is half-written.

use std::{
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::Context as _;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

/// What shells report for a program that Ctrl-C ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Shows the cursor, which lists hide.
const SHOW_CURSOR: &[u8] = b"\x1b[?25h\n";

/// Held while files are written.
static WRITING: Mutex<()> = Mutex::new(());

/// Keeps Ctrl-C from ending the process until this is dropped.
pub(super) fn while_writing() -> MutexGuard<'static, ()> {
    // It guards no data.
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on Ctrl-C restores the terminal before the process ends. The default would leave it without echo after the question for the token.
pub(super) fn guard() -> anyhow::Result<()> {
    let Ok(terminal) = tcgetattr(io::stdin()) else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let mut interrupts = {
        let _inside = runtime.enter();
        signal(SignalKind::interrupt()).context("Ctrl-C cannot be watched")?
    };
    let wait = move || {
        runtime.block_on(interrupts.recv());
        let _whole = while_writing();
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &terminal);
        let _ = io::stderr().write_all(SHOW_CURSOR);
        std::process::exit(EXIT_INTERRUPTED);
    };
    thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(wait)
        .context("no thread for Ctrl-C")?;
    Ok(())
}
