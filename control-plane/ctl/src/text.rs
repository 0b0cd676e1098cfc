//! Words for a terminal: made harmless, coloured, measured in the units people read.

/// A colour, as invisible characters around a word, so that tables measure the word alone; see [`paint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// As it should be.
    Green,
    /// Worth a look.
    Yellow,
    /// Broken.
    Red,
    /// Beside the point.
    Dim,
}

impl Colour {
    /// Marks a word.
    pub fn on(self, word: &str) -> String {
        let begin = match self {
            Colour::Green => GREEN,
            Colour::Yellow => YELLOW,
            Colour::Red => RED,
            Colour::Dim => DIM,
        };
        format!("{begin}{word}{END}")
    }
}

/// Turns the marks into colours, or takes them away.
pub fn paint(text: &str, with_colours: bool) -> String {
    let mut painted = String::with_capacity(text.len());
    for c in text.chars() {
        let code = match c {
            GREEN => "\u{1b}[32m",
            YELLOW => "\u{1b}[33m",
            RED => "\u{1b}[31m",
            DIM => "\u{1b}[2m",
            END => "\u{1b}[0m",
            c => {
                painted.push(c);
                continue;
            }
        };
        if with_colours {
            painted.push_str(code);
        }
    }
    painted
}

/// Somebody else's words on one line, without what would steer a terminal or be taken for our marks.
pub fn line(text: &str) -> String {
    text.chars()
        .map(|c| if is_harmless(c) { c } else { '\u{fffd}' })
        .collect()
}

/// The same with its line breaks.
pub fn lines(text: &str) -> String {
    let clean: Vec<String> = text.lines().map(line).collect();
    clean.join("\n")
}

fn is_harmless(c: char) -> bool {
    // Bidirectional overrides let a name look like something else.
    !c.is_control() && !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
}

/// A round-trip time in milliseconds; a dash if there is none.
pub fn rtt(us: u32) -> String {
    match us {
        0 => NONE.into(),
        us => format!("{:.1} ms", f64::from(us) / 1_000.0),
    }
}

/// A rate with the unit that fits.
pub fn rate(bits_per_second: u64) -> String {
    let bits = bits_per_second as f64;
    match bits_per_second {
        0..1_000 => format!("{bits_per_second} bit/s"),
        1_000..1_000_000 => format!("{:.0} kbit/s", bits / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} Mbit/s", bits / 1e6),
        _ => format!("{:.1} Gbit/s", bits / 1e9),
    }
}

/// Words with commas between; a dash if there are none.
pub fn list<T: AsRef<str>>(words: &[T]) -> String {
    let words: Vec<String> = words.iter().map(|word| line(word.as_ref())).collect();
    match words.is_empty() {
        true => NONE.into(),
        false => words.join(", "),
    }
}

/// As many of a thing, in words.
pub fn count(n: usize, one: &str, many: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    }
}

/// Stands where there is nothing.
pub const NONE: &str = "–";

// Of no width, and of no use outside formulas: nobody's name has them.
const GREEN: char = '\u{2061}';
const YELLOW: char = '\u{2062}';
const RED: char = '\u{2063}';
const DIM: char = '\u{2064}';
const END: char = '\u{2060}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_there_only_if_wanted() {
        let word = Colour::Red.on("gone");
        assert_eq!(paint(&word, false), "gone");
        assert_eq!(paint(&word, true), "\u{1b}[31mgone\u{1b}[0m");
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(line("A\u{1b}[31m\nB"), "A\u{fffd}[31m\u{fffd}B");
        assert_eq!(line("\u{202e}evil\u{2063}"), "\u{fffd}evil\u{fffd}");
        assert_eq!(line("Yaoundé 東京"), "Yaoundé 東京");
    }

    #[test]
    fn measures_have_the_unit_that_fits() {
        assert_eq!(rtt(141_230), "141.2 ms");
        assert_eq!(rtt(0), NONE);
        assert_eq!(rate(999), "999 bit/s");
        assert_eq!(rate(64_000), "64 kbit/s");
        assert_eq!(rate(12_340_000), "12.3 Mbit/s");
    }
}
