//! What the person in front of the demo sees: headings, bars that grow in place, sentences. Where
//! the output is no terminal, each bar is printed once, when it is done.

use std::ffi::OsStr;
use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};

use skymesh_examples::stage;

/// Columns that the longest bar takes.
const BAR_COLUMNS: u32 = 40;

/// Bars are drawn anew no more often than this.
const REDRAW: Duration = Duration::from_millis(50);

/// One bar.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) count: u32,
    pub(crate) note: String,
}

/// Standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    colours: bool,
    /// Lines of bars that are below the last fixed line.
    drawn: usize,
    drawn_at: Option<Instant>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let terminal = stdout().is_terminal();
        let colours = terminal && wants_colours(std::env::var_os("NO_COLOR").as_deref());
        Self { terminal, colours, drawn: 0, drawn_at: None }
    }

    /// A line that stays.
    pub(crate) fn line(&mut self, text: &str) {
        self.drawn = 0;
        stage::show(&format!("{text}\n"));
    }

    /// A line that stays, above the bars that are being drawn.
    pub(crate) fn above(&mut self, text: &str) {
        let clear = match self.drawn {
            0 => String::new(),
            bars => format!("\x1b[{bars}A\x1b[J"),
        };
        self.line(&format!("{clear}{text}"));
    }

    /// A sentence that was found to hold.
    pub(crate) fn holds(&mut self, sentence: &str) {
        self.line(&format!("   {}  {sentence}", self.mark()));
    }

    fn mark(&self) -> &'static str {
        if self.colours { "\x1b[32mok\x1b[0m" } else { "ok" }
    }

    /// Whether it is time to draw bars that still grow.
    pub(crate) fn is_due(&self) -> bool {
        self.terminal && self.drawn_at.is_none_or(|at| at.elapsed() >= REDRAW)
    }

    /// The bars as they stay.
    pub(crate) fn settle(&mut self, bars: &[Bar], full: u32) {
        self.draw(bars, full);
        self.drawn = 0;
        self.drawn_at = None;
    }

    /// The bars as they are now. `full` is what fills a bar.
    pub(crate) fn draw(&mut self, bars: &[Bar], full: u32) {
        let mut text = String::new();
        if self.drawn > 0 {
            text += &format!("\x1b[{}A", self.drawn);
        }
        for bar in bars {
            let clear = if self.terminal { "\x1b[K" } else { "" };
            text += &format!("{}{clear}\n", self.bar(bar, full));
        }
        stage::show(&text);
        self.drawn = bars.len();
        self.drawn_at = Some(Instant::now());
    }

    fn bar(&self, bar: &Bar, full: u32) -> String {
        let columns = (bar.count * BAR_COLUMNS).div_ceil(full.max(1)).min(BAR_COLUMNS) as usize;
        let block = if self.terminal { "\u{2588}" } else { "#" };
        let (filled, rest) = (block.repeat(columns), " ".repeat(BAR_COLUMNS as usize - columns));
        let Bar { label, count, note } = bar;
        format!("   {label:<9} {filled}{rest} {count:>5}  {note}").trim_end().to_owned()
    }
}

/// By the variable `NO_COLOR`: <https://no-color.org>.
fn wants_colours(no_color: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_out_for_whoever_says_so() {
        for (no_color, wanted) in [(None, true), (Some(""), true), (Some("1"), false)] {
            assert_eq!(wants_colours(no_color.map(OsStr::new)), wanted, "{no_color:?}");
        }
        let printed = |colours| {
            let screen = Screen { terminal: true, colours, drawn: 0, drawn_at: None };
            screen.mark().contains('\u{1b}')
        };
        assert!(printed(true) && !printed(false));
    }
}
