//! Handles Ctrl-C during questions: the terminal is restored, and no file is half-written.

use std::{
    io::{self, Write},
    process,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

use anyhow::Context as _;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

/// The exit code that shells report for a program ended by Ctrl-C.
const EXIT_INTERRUPTED: i32 = 130;

/// Shows the cursor, which lists hide.
const SHOW_CURSOR: &[u8] = b"\x1b[?25h\n";

/// Held while files are written.
static WRITING: Mutex<()> = Mutex::new(());

/// The terminal's modes before the first question, if there is a terminal.
static TERMINAL: OnceLock<Termios> = OnceLock::new();

/// Keeps Ctrl-C from ending the process until this is dropped.
pub(super) fn while_writing() -> MutexGuard<'static, ()> {
    // The lock guards no data.
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes Ctrl-C restore the terminal before the process ends. The default would leave it without echo after the question for the token.
pub(super) fn guard() -> anyhow::Result<()> {
    let Ok(terminal) = tcgetattr(io::stdin()) else {
        return Ok(());
    };
    let _ = TERMINAL.set(terminal);
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
        end();
    };
    thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(wait)
        .context("no thread for Ctrl-C")?;
    Ok(())
}

/// Ends the process as Ctrl-C does. A question may learn of Ctrl-C before the signal arrives, since it reads the key itself.
pub(super) fn end() -> ! {
    let _whole = while_writing();
    if let Some(terminal) = TERMINAL.get() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, terminal);
    }
    let _ = io::stderr().write_all(SHOW_CURSOR);
    process::exit(EXIT_INTERRUPTED);
}
