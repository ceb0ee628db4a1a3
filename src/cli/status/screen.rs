//! A full-screen view of the newest report.

use std::io::{self, IsTerminal, Write};

/// Switches to another screen, so that the old content comes back; hides the cursor; and turns wrapping off, or a frame would be higher than counted.
const OPEN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const CLOSE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Moves to the top left corner. The rest of a line and of the screen is cleared after writing, so that nothing flickers.
const HOME: &str = "\x1b[H";
const END_OF_LINE: &str = "\x1b[K\r\n";
const END_OF_SCREEN: &str = "\x1b[J";

/// Restores the terminal when dropped.
#[derive(Debug)]
pub(super) struct Screen {
    coloured: bool,
}

impl Screen {
    /// Opens the screen; `None` if standard output is not a terminal.
    pub(super) fn open() -> Option<Self> {
        if !io::stdout().is_terminal() {
            return None;
        }
        write(OPEN);
        let choice = anstream::AutoStream::choice(&io::stdout());
        Some(Self {
            coloured: choice != anstream::ColorChoice::Never,
        })
    }

    /// Replaces the text on the screen; lines that do not fit are counted.
    pub(super) fn draw(&mut self, text: &str) {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let rows = size.map_or(0, |size| usize::from(size.ws_row));
        if self.coloured {
            write(&frame(text, rows));
        } else {
            let bare = anstream::adapter::strip_str(text).to_string();
            write(&frame(&bare, rows));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        write(CLOSE);
    }
}

/// Formats a frame. A terminal that does not know its height says 0.
fn frame(text: &str, rows: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    let mut frame = String::from(HOME);
    let fitting = if rows == 0 || lines.len() < rows {
        lines.len()
    } else {
        rows.saturating_sub(2)
    };
    for line in &lines[..fitting] {
        frame += line;
        frame += END_OF_LINE;
    }
    if fitting < lines.len() {
        frame += &format!("… {} lines more", lines.len() - fitting);
        frame += END_OF_LINE;
    }
    frame + END_OF_SCREEN
}

/// Writes past `anstream`, which takes cursor movements for colours. A terminal that is gone is no reason to fail.
fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_the_terminals_height() {
        assert_eq!(frame("a\nb\n", 3), "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n\x1b[J");
        assert_eq!(
            frame("a\nb\nc\nd\n", 4),
            "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n… 2 lines more\x1b[K\r\n\x1b[J"
        );
        assert!(frame("a\nb\n", 0).contains('b'));
    }
}
