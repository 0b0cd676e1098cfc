//! Everything that was counted.

use super::super::table::Table;
use super::super::words::{number, share};
use super::Part;
use crate::outcome::{Count, Outcome};

pub(super) fn part(outcome: &Outcome) -> Part {
    Part {
        id: "counts",
        title: "What arrived",
        hint: "",
        content: media(outcome),
    }
}

/// What became of the frames.
fn media(outcome: &Outcome) -> String {
    let count = |of| outcome.counted(of);
    let audio = count(Count::Objects) + count(Count::Lost);
    let video = count(Count::VideoObjects) + count(Count::VideoLost);
    let rows = [
        ("audio frames that arrived", Count::Objects, audio),
        ("audio frames lost", Count::Lost, audio),
        (
            "audio frames late (more than 400 ms old)",
            Count::Late,
            audio,
        ),
        ("audio frames that came twice", Count::Duplicated, audio),
        ("audio frames out of order", Count::Reordered, audio),
        (
            "frames that were not what was published",
            Count::Altered,
            audio + video,
        ),
        ("video frames that arrived", Count::VideoObjects, video),
        ("video frames lost", Count::VideoLost, video),
        ("silences longer than 40 ms", Count::Gaps40ms, 0),
        ("silences longer than 200 ms", Count::Gaps200ms, 0),
        ("silences longer than 1 s", Count::Gaps1000ms, 0),
        (
            "speakers, languages, pictures that never came",
            Count::Missed,
            0,
        ),
        ("switches to another language", Count::Switched, 0),
        ("moves to another edge", Count::Moved, 0),
        (
            "people who waited in the queue",
            Count::Queued,
            count(Count::Came),
        ),
    ];
    let mut table = Table::new("Counts over everybody", &["what", "how many>", "share>"]);
    for (name, of, all) in rows {
        let is_video = matches!(of, Count::VideoObjects | Count::VideoLost);
        if !is_video || video > 0 {
            let share = if all > 0 {
                share(count(of), all)
            } else {
                String::new()
            };
            table.row([name.to_owned(), number(count(of)), share]);
        }
    }
    match count(Count::Came) {
        0 => String::new(),
        _ => table.close(),
    }
}
