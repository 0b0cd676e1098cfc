//! `meridianctl audit`.

use crate::connection::Caller;
use crate::exit::Failure;
use crate::output::Output;
use crate::table::Table;
use crate::text::line;
use crate::{json, moment};
use clap::Args;
use meridian_proto::v1::{AuditEntry, ListAuditRequest};

/// `meridianctl audit`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AuditArgs {
    /// Only what was done to this meeting.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub meeting: String,
    /// At most so many, the newest first.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
}

/// Does it.
///
/// # Errors
/// As the server says.
pub async fn run(args: AuditArgs, caller: &Caller, output: &Output) -> Result<(), Failure> {
    let link = caller.link().await?;
    let request = ListAuditRequest {
        limit: args.limit,
        meeting: args.meeting,
    };
    let answer = link.ask(link.ops().list_audit(request)).await?;
    let page = || match answer.entries.is_empty() {
        true => "nothing was done\n".to_owned(),
        false => table(&answer.entries).render(output.width()),
    };
    output.answer(page, || json::of(&answer))
}

fn table(entries: &[AuditEntry]) -> Table {
    let mut table = Table::new(&["WHEN (UTC)", "WHO", "WHAT", "TO", "DETAIL"]);
    for entry in entries {
        table.row([
            moment::seconds(entry.at_ms),
            line(&entry.who),
            line(&entry.what),
            line(&entry.target),
            line(&entry.detail),
        ]);
    }
    table
}

const EXAMPLES: &str = "\
Examples:
  meridianctl audit --limit 20
  meridianctl audit --meeting council -o json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_say_who_did_what_when() {
        let entry = AuditEntry {
            at_ms: 1_796_126_400_123,
            who: "ann@example.org".into(),
            what: "CloseMeeting".into(),
            target: "council".into(),
            detail: String::new(),
        };
        assert_eq!(
            table(&[entry]).render(None),
            "WHEN (UTC)           WHO              WHAT          TO       DETAIL\n\
             2026-12-01 12:00:00  ann@example.org  CloseMeeting  council\n"
        );
    }
}
