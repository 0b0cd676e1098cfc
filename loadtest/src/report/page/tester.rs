//! The tester itself: how far it can be believed.

use super::super::table::Table;
use super::super::words::{cores, escape, number, time, time_if};
use super::Part;
use crate::outcome::{Latency, Outcome, Spread};

pub(super) fn part(outcome: &Outcome) -> Part {
    let content = match outcome.testers.is_empty() {
        true => String::new(),
        false => format!("<p>{}</p>{}", escape(&said(outcome)), table(outcome)),
    };
    Part {
        id: "tester",
        title: "The tester itself",
        hint: HINT,
        content,
    }
}

/// How far to believe it, in words.
fn said(outcome: &Outcome) -> String {
    let behind = all(outcome, |tester| &tester.behind);
    let arrivals = all(outcome, |tester| &tester.arrivals_behind);
    let mut said = vec![match behind.quantile_ms(0.99) {
        Some(late) => format!(
            "In 99 of 100 cases it was at most {} behind, at worst {}: what is said of others may be too much by that.",
            time(late),
            time_if(behind.max_ms())
        ),
        None => "It did not measure how late it was.".to_owned(),
    }];
    let lag = outcome.timed(Latency::Lag).quantile_ms(0.5);
    if let (Some(late), Some(lag)) = (behind.quantile_ms(0.99), lag) {
        let percent = late / lag * 100.0;
        said.push(format!(
            "That is {percent:.1} % of the median lag of {}.",
            time(lag)
        ));
    }
    if let Some(late) = arrivals.max_ms() {
        said.push(format!(
            "The latest arrival was started {} after it was due.",
            time(late)
        ));
    }
    if outcome.testers.len() > 1 {
        let errors = outcome.testers.iter().map(|tester| tester.clock_error_us);
        let error = errors.max().unwrap_or_default() as f64 / 1e3;
        said.push(format!(
            "The clocks of its machines are known to {}.",
            time(error)
        ));
    }
    said.push(TCP.to_owned());
    said.push(match outcome.is_valid() {
        true => "The run counts as valid.".to_owned(),
        false => "The run does not count: the reasons stand at the top.".to_owned(),
    });
    said.join(" ")
}

fn all(outcome: &Outcome, of: impl Fn(&crate::outcome::Tester) -> &Spread) -> Spread {
    let mut all = Spread::default();
    outcome
        .testers
        .iter()
        .for_each(|tester| all.add(of(tester)));
    all
}

fn table(outcome: &Outcome) -> String {
    let heads = [
        "agent",
        "threads>",
        "delegates>",
        "CPU (cores)>",
        "busiest thread, 10 s>",
        "behind p99>",
        "worst 10 s, p90>",
        "at most>",
        "arrivals behind p99>",
        "at most>",
        "clock ahead>",
    ];
    let mut table = Table::new("Agents", &heads);
    let length = outcome.length_ms.max(1) as f64;
    for tester in &outcome.testers {
        let (behind, arrivals) = (&tester.behind, &tester.arrivals_behind);
        let (ahead, error) = (
            tester.clock_ahead_us as f64 / 1e3,
            tester.clock_error_us as f64 / 1e3,
        );
        table.row([
            tester.name.clone(),
            tester.threads.to_string(),
            number(tester.delegates),
            cores(tester.cpu_ms as f64 / length),
            format!("{:.0} % of a core", tester.busiest * 100.0),
            time_if(behind.quantile_ms(0.99)),
            time(tester.worst_ms),
            time_if(behind.max_ms()),
            time_if(arrivals.quantile_ms(0.99)),
            time_if(arrivals.max_ms()),
            format!("{ahead:.2} ± {error:.2} ms"),
        ]);
    }
    table.close()
}

const TCP: &str = "Last miles are emulated for UDP alone: what goes over TCP, which is asking for a ticket and all of WebSocket, takes no longer than between these machines.";
const HINT: &str = "A tester that is late itself makes the network look slow. It measures, 200 times a second, how late each of its threads was to take note of something that came in when it was due: as late as an object is that takes the same way.";
