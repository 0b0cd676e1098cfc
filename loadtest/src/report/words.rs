//! Figures as people read them.

/// As in `12,345`.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 {
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
}
