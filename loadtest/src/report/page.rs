//! The page: one file that needs no other, no script and no network, for people who have never seen one. What matters
//! most stands first.

mod counts;
mod events;
mod first_audio;
mod groups;
mod joins;
mod key_figures;
mod lag;
mod network;
mod scenario;
mod tester;
mod verdict;

use super::timeline::Timeline;
use super::words::{escape, number};
use crate::outcome::Outcome;

/// The whole page.
pub fn html(outcome: &Outcome) -> String {
    let timeline = Timeline::of(outcome);
    let title = match outcome.title.as_str() {
        "" => &outcome.scenario,
        title => title,
    };
    let verdict = verdict::section(outcome);
    let parts = [
        key_figures::part(outcome),
        joins::part(outcome, &timeline),
        first_audio::part(outcome),
        lag::part(outcome, &timeline),
        groups::part(outcome),
        events::part(outcome, &timeline),
        counts::part(outcome),
        network::part(outcome, &timeline),
        tester::part(outcome),
        scenario::part(outcome),
    ];
    let parts: Vec<Part> = parts
        .into_iter()
        .filter(|part| !part.content.is_empty())
        .collect();
    let contents: String = parts.iter().map(Part::link).collect();
    let sections: String = parts.iter().map(Part::html).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"><link rel=\"icon\" href=\"data:,\"><title>{word}: {title}</title><style>{STYLE}</style></head>\n<body><header><p class=\"kind\">Rehearsal of a meeting</p><h1>{title}</h1><p>{about}</p><p class=\"hint\">{when}</p></header>\n<main>{verdict}<nav aria-label=\"Contents\"><ul>{contents}</ul></nav>\n{sections}</main>\n<footer><p>Times: p50, p95, p99 are what 50, 95 or 99 of 100 stayed below. They are right to one percent. The same figures stand in outcome.json and metrics.prom beside this page.</p></footer></body></html>\n",
        word = verdict::word(outcome),
        title = escape(title),
        about = escape(&outcome.about),
        when = escape(&when(outcome)),
    )
}

fn when(outcome: &Outcome) -> String {
    let started = scenario::date(outcome.started_unix_ms);
    format!(
        "{} planned · began {started} · lasted {} s",
        super::words::some(outcome.planned, "person", "people"),
        number(outcome.length_ms.div_ceil(1_000)),
    )
}

/// A part of the page; it is left out if there is nothing in it.
struct Part {
    /// Unique on the page.
    id: &'static str,
    /// Its heading.
    title: &'static str,
    /// How to read it; may be empty.
    hint: &'static str,
    /// HTML.
    content: String,
}

impl Part {
    fn link(&self) -> String {
        format!("<li><a href=\"#{}\">{}</a></li>", self.id, self.title)
    }

    fn html(&self) -> String {
        let Part {
            id,
            title,
            hint,
            content,
        } = self;
        let hint = match *hint {
            "" => String::new(),
            hint => format!("<p class=\"hint\">{hint}</p>"),
        };
        format!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{title}</h2>{hint}\n{content}</section>\n"
        )
    }
}

const STYLE: &str = include_str!("page/style.css");
