//! Figures as people read them.

/// As in `12,345`.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds as in `0.42 ms`, `6.1 ms`, `150 ms`, `3.42 s`, `71 s`.
pub(super) fn time(ms: f64) -> String {
    match ms {
        _ if ms < 0.995 => format!("{ms:.2} ms"),
        _ if ms < 99.95 => format!("{ms:.1} ms"),
        _ if ms < 999.5 => format!("{ms:.0} ms"),
        _ if ms < 9_995.0 => format!("{:.2} s", ms / 1e3),
        _ if ms < 99_950.0 => format!("{:.1} s", ms / 1e3),
        _ => format!("{} s", number((ms / 1e3).round() as u64)),
    }
}

/// The same, or a dash if there is none.
pub(super) fn time_if(ms: Option<f64>) -> String {
    ms.map_or_else(|| "–".to_owned(), time)
}

/// A share as in `0.02 %`, `97.5 %`; a dash of nothing.
pub(super) fn share(part: u64, of: u64) -> String {
    if of == 0 {
        return "–".to_owned();
    }
    let percent = part as f64 / of as f64 * 100.0;
    match percent {
        _ if part == 0 || part == of => format!("{percent:.0} %"),
        _ if percent < 0.001 => "< 0.001 %".to_owned(),
        _ if percent < 0.1 => format!("{percent:.3} %"),
        _ if percent < 1.0 => format!("{percent:.2} %"),
        // Never said of what is not quite all.
        _ => format!("{:.1} %", percent.min(99.9)),
    }
}

/// Cores' worth of CPU, as in `0.42`.
pub(super) fn cores(value: f64) -> String {
    format!("{value:.2}")
}

/// KiB as in `12.3 MiB`.
pub(super) fn memory(kib: u64) -> String {
    match kib as f64 / 1024.0 {
        mib if mib < 100.0 => format!("{mib:.1} MiB"),
        mib if mib < 10_240.0 => format!("{} MiB", number(mib.round() as u64)),
        mib => format!("{:.1} GiB", mib / 1024.0),
    }
}

/// Bytes a second as in `12.3 Mbit/s`.
pub(super) fn rate(bytes_per_s: f64) -> String {
    match bytes_per_s * 8.0 {
        bits if bits < 1e6 => format!("{:.0} kbit/s", bits / 1e3),
        bits if bits < 1e9 => format!("{:.1} Mbit/s", bits / 1e6),
        bits => format!("{:.2} Gbit/s", bits / 1e9),
    }
}

/// When in a rehearsal: `0:07`, `12:30`, `1:00:00`.
pub(super) fn moment(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A region's code with its name; other codes as they are.
pub(super) fn region(code: &str) -> String {
    let name = match code {
        "AFR" => "Africa",
        "AMS" => "Americas",
        "ARB" => "Arab States",
        "ASP" => "Asia and the Pacific",
        "CIS" => "CIS",
        "EUR" => "Europe",
        "" => return NOT_SAID.to_owned(),
        _ => return code.to_owned(),
    };
    match name == code {
        true => name.to_owned(),
        false => format!("{name} ({code})"),
    }
}

/// A word, or that there is none.
pub(super) fn or_not_said(word: &str) -> String {
    match word {
        "" => NOT_SAID.to_owned(),
        word => word.to_owned(),
    }
}

/// `1 person`, `2 people`.
pub(super) fn some(count: u64, one: &str, more: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{} {more}", number(count)),
    }
}

/// Text from outside, safe between tags and in quoted attributes of HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

const NOT_SAID: &str = "not said";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let said = [0, 999, 1_000, 1_234_567].map(number);
        assert_eq!(said, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn times_have_the_digits_that_matter() {
        let said = [0.05, 6.14, 150.4, 999.6, 3_421.0, 71_000.0, 3_600_000.0].map(time);
        let read = [
            "0.05 ms", "6.1 ms", "150 ms", "1.00 s", "3.42 s", "71.0 s", "3,600 s",
        ];
        assert_eq!(said, read);
    }

    #[test]
    fn nothing_but_all_is_said_to_be_all_and_nothing_but_none_to_be_none() {
        let said = [(0, 0), (0, 9), (9, 9), (99_999, 100_000), (1, 1_000_000)];
        let said = said.map(|(part, of)| share(part, of));
        assert_eq!(said, ["–", "0 %", "100 %", "99.9 %", "< 0.001 %"]);
    }

    #[test]
    fn text_from_outside_is_text() {
        let said = escape("<a href='x' title=\"y\">&\u{7}</a>");
        let read = "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;\u{fffd}&lt;/a&gt;";
        assert_eq!(said, read);
    }
}
