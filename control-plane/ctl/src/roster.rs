//! `meridianctl roster`.

use crate::connection::Caller;
use crate::exit::Failure;
use crate::output::Output;
use crate::table::Table;
use crate::text::{count, line, list};
use crate::{delegates, json, moment};
use clap::Args;
use meridian_proto::v1::{GetRosterRequest, Present, Roster, WatchRosterRequest};
use std::collections::BTreeMap;

/// `meridianctl roster`.
#[derive(Debug, Args)]
pub struct RosterArgs {
    /// The meeting's id.
    pub meeting: String,
    /// Go on and show each change.
    #[arg(long, short)]
    pub watch: bool,
}

/// Does it.
///
/// # Errors
/// As the server says.
pub async fn run(args: RosterArgs, caller: &Caller, output: &Output) -> Result<(), Failure> {
    if args.watch {
        return watch(&args.meeting, caller, output).await;
    }
    let link = caller.link().await?;
    let request = GetRosterRequest {
        meeting: args.meeting,
    };
    let answer = link.ask(link.meetings().get_roster(request)).await?;
    let roster = answer.roster.unwrap_or_default();
    output.answer(|| page(&roster, output.width()), || json::of(&roster))
}

async fn watch(meeting: &str, caller: &Caller, output: &Output) -> Result<(), Failure> {
    let mut before = Roster::default();
    let open = async |link: &crate::connection::Link| {
        let request = WatchRosterRequest {
            meeting: meeting.to_owned(),
        };
        link.ask(link.meetings().watch_roster(request)).await
    };
    let show = async |_: &crate::connection::Link,
                      message: meridian_proto::v1::WatchRosterResponse| {
        let roster = message.roster.unwrap_or_default();
        output.show(
            || page(&roster, output.width()),
            || changes(&before, &roster),
            || json::of(&roster),
        )?;
        before = roster;
        Ok(())
    };
    caller.follow(open, show).await
}

/// Who is there.
pub fn table(roster: &Roster) -> Table {
    let mut table = Table::new(&[
        "DELEGATE",
        "NAME",
        "DELEGATION",
        "ROLE",
        "AT",
        "SINCE (UTC)",
    ]);
    for present in &roster.present {
        let delegate = present.delegate.clone().unwrap_or_default();
        table.row([
            line(&delegate.id),
            line(&delegate.name),
            line(&delegate.delegation),
            delegates::role(&delegate).into(),
            list(&present.offices),
            moment::minutes(present.since_ms / 1_000),
        ]);
    }
    table
}

fn page(roster: &Roster, width: Option<u16>) -> String {
    let people = count(roster.present.len(), "person is there", "people are there");
    match roster.present.is_empty() {
        true => "nobody is there\n".into(),
        false => format!("{}\n{people}\n", table(roster).render(width)),
    }
}

/// Who has come, moved and gone.
fn changes(before: &Roster, after: &Roster) -> Vec<String> {
    let (before, after) = (by_id(before), by_id(after));
    let mut changes = Vec::new();
    for (id, present) in &after {
        let (id, at) = (line(id), list(&present.offices));
        match before.get(id.as_str()) {
            None => changes.push(format!("+ {id} at {at}")),
            Some(was) if was.offices != present.offices => {
                changes.push(format!("~ {id} at {at}, was at {}", list(&was.offices)));
            }
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|id| !after.contains_key(*id));
    changes.extend(gone.map(|id| format!("- {}", line(id))));
    changes
}

fn by_id(roster: &Roster) -> BTreeMap<&str, &Present> {
    let id = |present| present_id(present);
    roster
        .present
        .iter()
        .map(|present| (id(present), present))
        .collect()
}

fn present_id(present: &Present) -> &str {
    present
        .delegate
        .as_ref()
        .map_or("", |delegate| &delegate.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_proto::v1::{Delegate, Role};

    fn roster(people: &[(&str, &str)]) -> Roster {
        let present = people.iter().map(|(id, office)| Present {
            delegate: Some(Delegate {
                id: (*id).into(),
                name: "Keiko Tanaka".into(),
                role: Role::Interpreter.into(),
                ..Delegate::default()
            }),
            offices: vec![(*office).into()],
            since_ms: 1_796_126_400_000,
        });
        Roster {
            present: present.collect(),
        }
    }

    #[test]
    fn who_is_there_is_told_with_office_and_time() {
        let text = page(&roster(&[("keiko-tanaka", "bangkok")]), Some(90));
        assert!(
            text.contains("interpreter  bangkok  2026-12-01 12:00"),
            "{text}"
        );
        assert!(text.ends_with("\n1 person is there\n"), "{text}");
        assert_eq!(page(&Roster::default(), None), "nobody is there\n");
    }

    #[test]
    fn changes_say_who_came_moved_and_went() {
        let before = roster(&[("ann", "cairo"), ("bob", "cairo"), ("cid", "cairo")]);
        let after = roster(&[("ann", "cairo"), ("bob", "dakar"), ("eve", "dakar")]);
        assert_eq!(
            changes(&before, &after),
            ["~ bob at dakar, was at cairo", "+ eve at dakar", "- cid"]
        );
    }
}
