//! `meridianctl why`.

use crate::connection::Caller;
use crate::exit::Failure;
use crate::output::Output;
use crate::table::Table;
use crate::text::{Colour, line, rtt};
use crate::{json, moment};
use clap::Args;
use meridian_proto::v1::{WhyRequest, WhyResponse};

/// `meridianctl why`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct WhyArgs {
    /// The meeting's id.
    pub meeting: String,
    /// The participant's id.
    pub delegate: String,
    /// As if they were in this country, as in KE; their delegation's if not said.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub country: String,
}

/// Does it.
///
/// # Errors
/// As the server says.
pub async fn run(args: WhyArgs, caller: &Caller, output: &Output) -> Result<(), Failure> {
    let link = caller.link().await?;
    let request = WhyRequest {
        meeting: args.meeting.clone(),
        delegate: args.delegate.clone(),
        country: args.country.to_ascii_uppercase(),
    };
    let answer = link.ask(link.ops().why(request)).await?;
    output.answer(
        || page(&args, &answer, output.width()),
        || json::of(&answer),
    )
}

fn page(args: &WhyArgs, answer: &WhyResponse, width: Option<u16>) -> String {
    let from = match args.country.as_str() {
        "" => String::new(),
        country => format!(", from {}", country.to_ascii_uppercase()),
    };
    let mut text = format!(
        "{} in {}{from}\n",
        line(&args.delegate),
        line(&args.meeting)
    );
    text += &there(answer, width);
    text += &match answer.candidates.is_empty() {
        true => format!("\n{}\n", Colour::Red.on("No edge can take them now.")),
        false => format!(
            "\nWould be sent to, best first\n{}",
            candidates(answer).render(width)
        ),
    };
    if !answer.reasons.is_empty() {
        text += &format!("\nEvery edge\n{}", reasons(answer).render(width));
    }
    if !answer.last_choice.is_empty() {
        text += &format!("\nLast time: {}\n", line(&answer.last_choice));
    }
    text
}

/// Where they are now.
fn there(answer: &WhyResponse, width: Option<u16>) -> String {
    if answer.sessions.is_empty() {
        return "\nNot there now.\n".into();
    }
    let mut table = Table::new(&["  AT", "SINCE (UTC)", "BY", "SESSION"]);
    for (n, session) in answer.sessions.iter().enumerate() {
        let office = answer.offices.get(n).map_or("", String::as_str);
        table.row([
            format!("  {}", line(office)),
            moment::seconds(session.opened_at_us / 1_000),
            line(&session.transport),
            line(&session.session),
        ]);
    }
    format!("\nThere now\n{}", table.render(width))
}

fn candidates(answer: &WhyResponse) -> Table {
    let mut table = Table::new(&["  EDGE", "RTT>", "WHY"]);
    for candidate in &answer.candidates {
        table.row([
            format!("  {}", line(&candidate.office)),
            rtt(candidate.predicted_rtt_us),
            line(&candidate.why),
        ]);
    }
    table
}

fn reasons(answer: &WhyResponse) -> Table {
    let is_candidate = |office: &str| answer.candidates.iter().any(|it| it.office == office);
    let mut table = Table::new(&["  EDGE", "RTT>", "CODE", "REASON"]);
    for reason in &answer.reasons {
        let code = line(&reason.code);
        table.row([
            format!("  {}", line(&reason.office)),
            rtt(reason.predicted_rtt_us),
            match is_candidate(&reason.office) {
                true => Colour::Green.on(&code),
                false => code,
            },
            line(&reason.text),
        ]);
    }
    table
}

const EXAMPLES: &str = "\
Examples:
  meridianctl why council keiko-tanaka
  meridianctl why council keiko-tanaka --country KE";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::paint;
    use meridian_proto::v1::{Candidate, Reason, Session};

    fn args() -> WhyArgs {
        WhyArgs {
            meeting: "council".into(),
            delegate: "keiko".into(),
            country: "ke".into(),
        }
    }

    #[test]
    fn where_they_are_and_would_go_is_told_with_reasons() {
        let answer = WhyResponse {
            sessions: vec![Session {
                opened_at_us: 1_796_126_400_000_000,
                transport: "quic".into(),
                session: "cp-1-7".into(),
                ..Session::default()
            }],
            offices: vec!["bangkok".into()],
            candidates: vec![Candidate {
                office: "bangkok".into(),
                predicted_rtt_us: 24_000,
                why: "91 ms nearer than cairo".into(),
                ..Candidate::default()
            }],
            reasons: vec![Reason {
                office: "cairo".into(),
                code: "farther".into(),
                text: "91 ms farther than bangkok".into(),
                predicted_rtt_us: 115_000,
            }],
            last_choice: "bangkok, after 61 ms".into(),
        };
        let text = paint(&page(&args(), &answer, Some(80)), false);
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "keiko in council, from KE",
                "",
                "There now",
                "  AT       SINCE (UTC)          BY    SESSION",
                "  bangkok  2026-12-01 12:00:00  quic  cp-1-7",
                "",
                "Would be sent to, best first",
                "  EDGE         RTT  WHY",
                "  bangkok  24.0 ms  91 ms nearer than cairo",
                "",
                "Every edge",
                "  EDGE        RTT  CODE     REASON",
                "  cairo  115.0 ms  farther  91 ms farther than bangkok",
                "",
                "Last time: bangkok, after 61 ms",
            ]
        );
    }

    #[test]
    fn that_nobody_can_take_them_is_said() {
        let text = paint(&page(&args(), &WhyResponse::default(), None), false);
        assert!(
            text.contains("Not there now.\n\nNo edge can take them now.\n"),
            "{text}"
        );
    }
}
