//! Prints for people: colours, tables and durations, as the terminal allows.
//!
//! Texts contain colours, which [`show`] removes in a pipe, in a file, or if `NO_COLOR` is set. Names from elsewhere go through [`plain`]:
//! they could contain commands for the terminal.

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, Write},
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Table, TableComponent, presets,
};

pub(super) const STRONG: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const ODD: Style = AnsiColor::Yellow.on_default();

/// Marks a row that counts.
pub(super) const MARK: char = '●';

/// Prints to standard output.
///
/// # Errors
/// The system's; see [`unless_gone`](super::unless_gone).
pub(super) fn show(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Colours a text.
pub(super) fn painted(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Removes from a text what a terminal would take for a command, and what changes the direction of writing and so could show another
/// name.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    let commands = |character: char| {
        character.is_control()
            || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(commands) {
        text.replace(commands, "\u{fffd}").into()
    } else {
        text.into()
    }
}

/// One column of a table.
#[derive(Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    alignment: CellAlignment,
    /// Whether its cells may take several lines on a narrow terminal.
    wraps: bool,
}

impl Column {
    /// For names, which can be long.
    pub const fn names(name: &'static str) -> Self {
        Self {
            name,
            alignment: CellAlignment::Left,
            wraps: true,
        }
    }

    /// For a few short words.
    pub const fn labels(name: &'static str) -> Self {
        Self {
            wraps: false,
            ..Self::names(name)
        }
    }

    /// For numbers and durations.
    pub const fn numbers(name: &'static str) -> Self {
        Self {
            alignment: CellAlignment::Right,
            ..Self::labels(name)
        }
    }
}

/// Formats rows as wide as the terminal, in several lines if needed; in a pipe one line each.
pub(super) fn table(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_header(columns.iter().map(|column| column.name))
        .add_rows(rows);
    for (laid_out, column) in table.column_iter_mut().zip(columns) {
        // Two spaces between columns, one of them the border's, and none before the first.
        laid_out.set_padding((0, 1));
        laid_out.set_cell_alignment(column.alignment);
        if !column.wraps {
            laid_out.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    if let Some(width) = width() {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    coloured(&table.trim_fmt())
}

/// Colours a finished table: earlier, the codes would count as letters.
fn coloured(table: &str) -> String {
    let (mut text, mut in_header) = (String::with_capacity(table.len() + 200), true);
    for line in table.lines() {
        text += &match line.split_once(MARK) {
            _ if line.starts_with('─') => {
                in_header = false;
                painted(FAINT, line)
            }
            _ if in_header => painted(STRONG, line),
            Some((before, after)) if before.trim().is_empty() => {
                format!("{before}{}{after}", painted(GOOD, MARK))
            }
            _ => line.to_owned(),
        };
        text.push('\n');
    }
    text
}

/// Returns the width of the terminal in characters; `None` if standard output is not a terminal.
fn width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    // A terminal that does not know its size says 0.
    (size.ws_col > 0).then_some(size.ws_col)
}

/// `1 request`, `2 requests`.
pub(super) fn counted(count: u64, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        _ => format!("{count} {thing}s"),
    }
}

/// Formats a duration for people, with the digits that matter: `36 ms`, `0.4 s`, `3.8 s`, `42 s`, `1 min 54 s`, `2 h 5 min`.
pub(super) fn spoken(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs_f64();
    let tenths = (seconds * 10.0).round() as u64;
    if (0.001..0.1).contains(&seconds) {
        return format!("{} ms", duration.as_millis());
    }
    if tenths < 100 && !tenths.is_multiple_of(10) {
        return format!("{seconds:.1} s");
    }
    let (large, small) = match seconds.round() as u64 {
        seconds @ 0..MINUTE => return format!("{seconds} s"),
        seconds @ MINUTE..HOUR => ((seconds / MINUTE, "min"), (seconds % MINUTE, "s")),
        seconds @ HOUR..DAY => ((seconds / HOUR, "h"), (seconds % HOUR / MINUTE, "min")),
        seconds => ((seconds / DAY, "d"), (seconds % DAY / HOUR, "h")),
    };
    match small.0 {
        0 => format!("{} {}", large.0, large.1),
        _ => format!("{} {} {} {}", large.0, large.1, small.0, small.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_for_people() {
        for (ms, expected) in [
            (0, "0 s"),
            (36, "36 ms"),
            (440, "0.4 s"),
            (960, "1 s"),
            (3_789, "3.8 s"),
            (4_000, "4 s"),
            (9_960, "10 s"),
            (42_300, "42 s"),
            (59_600, "1 min"),
            (113_684, "1 min 54 s"),
            (3_600_000, "1 h"),
            (7_530_000, "2 h 5 min"),
            (273_700_000, "3 d 4 h"),
        ] {
            assert_eq!(spoken(Duration::from_millis(ms)), expected, "{ms}");
        }
    }

    #[test]
    fn no_name_controls_the_terminal() {
        assert_eq!(plain("Zoë O'Neill"), "Zoë O'Neill");
        assert_eq!(
            plain("\x1b[31mred\n\u{202e}"),
            "\u{fffd}[31mred\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn only_headers_and_marks_are_coloured() {
        let rows = [[" ", "a ● b"], ["●", "c"]].map(|row| row.map(str::to_owned).to_vec());
        let text = table(&[Column::labels(""), Column::names("name")], rows);
        assert!(text.contains(&painted(GOOD, MARK)), "{text}");
        let bare = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(bare, "   name\n─────────\n   a ● b\n●  c\n");
    }
}
