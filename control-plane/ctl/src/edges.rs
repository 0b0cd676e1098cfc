//! `meridianctl edges`.

use crate::connection::{Caller, Link};
use crate::exit::Failure;
use crate::output::Output;
use crate::table::Table;
use crate::text::{Colour, NONE, count, line, rate};
use crate::{json, moment};
use clap::{Args, Subcommand};
use meridian_proto::v1::{
    Drain, DrainEdgeRequest, DrainTarget, EdgeState, EdgeStatus, ListEdgesRequest,
    RemoveEdgeRequest, UndrainEdgeRequest, WatchEdgesRequest, WatchEdgesResponse,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// `meridianctl edges`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List edges, their state and their load.
    List(ListArgs),
    /// Empty an edge of its clients, without interrupting them; new ones are sent elsewhere.
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain(DrainArgs),
    /// Let an edge that is being emptied, or is empty, take clients again.
    Undrain(OneArgs),
    /// Take an edge that is gone for good out of the network.
    Remove(OneArgs),
}

/// `meridianctl edges list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Go on and show each change.
    #[arg(long, short)]
    pub watch: bool,
}

/// `meridianctl edges drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// The edge's office, as in bangkok.
    pub office: String,
    /// How long clients have to leave, 1s to 1h.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = drain_time)]
    pub within: Duration,
    /// Why, for the audit log.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
}

/// An edge.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The edge's office, as in bangkok.
    pub office: String,
}

/// Does it.
///
/// # Errors
/// As the server says.
pub async fn run(command: Command, caller: &Caller, output: &Output) -> Result<(), Failure> {
    match command {
        Command::List(args) if args.watch => watch(caller, output).await,
        Command::List(_) => {
            let link = caller.link().await?;
            let edges = all(&link).await?;
            output.answer(
                || page(&edges, moment::now_ms(), output.width()),
                || json!({ "edges": json::all(&edges) }),
            )
        }
        Command::Drain(args) => drain(&caller.link().await?, args, output).await,
        Command::Undrain(args) => {
            let link = caller.link().await?;
            let office = args.office.clone();
            let request = UndrainEdgeRequest { office };
            link.ask(link.ops().undrain_edge(request)).await?;
            let done = format!("{} takes clients again", args.office);
            output.done(&done, || json!({ "office": args.office }))
        }
        Command::Remove(args) => {
            let link = caller.link().await?;
            let office = args.office.clone();
            let request = RemoveEdgeRequest { office };
            link.ask(link.ops().remove_edge(request)).await?;
            let done = format!("{} is taken out of the network", args.office);
            output.done(&done, || json!({ "office": args.office }))
        }
    }
}

/// All edges.
///
/// # Errors
/// As the server says.
pub async fn all(link: &Link) -> Result<Vec<EdgeStatus>, Failure> {
    let answer = link.ask(link.ops().list_edges(ListEdgesRequest {})).await?;
    Ok(answer.edges)
}

async fn watch(caller: &Caller, output: &Output) -> Result<(), Failure> {
    let mut before: Vec<EdgeStatus> = Vec::new();
    let open = async |link: &Link| link.ask(link.ops().watch_edges(WatchEdgesRequest {})).await;
    let show = async |_: &Link, message: WatchEdgesResponse| {
        let edges = message.edges;
        output.show(
            || page(&edges, moment::now_ms(), output.width()),
            || changes(&before, &edges),
            || json!({ "edges": json::all(&edges) }),
        )?;
        before = edges;
        Ok(())
    };
    caller.follow(open, show).await
}

async fn drain(link: &Link, args: DrainArgs, output: &Output) -> Result<(), Failure> {
    let request = DrainEdgeRequest {
        office: args.office,
        within_ms: u32::try_from(args.within.as_millis()).unwrap_or(u32::MAX),
        reason: args.reason,
    };
    let answer = link.ask(link.ops().drain_edge(request)).await?;
    let drain = answer.drain.clone().unwrap_or_default();
    output.answer(|| drained(&drain), || json::of(&answer))
}

/// The edge's office.
pub fn office(edge: &EdgeStatus) -> &str {
    edge.edge.as_ref().map_or("", |edge| &edge.office)
}

/// An edge's state in a word.
pub fn state(edge: &EdgeStatus) -> String {
    match edge.state() {
        EdgeState::Unspecified => NONE.into(),
        EdgeState::Alive => Colour::Green.on("alive"),
        EdgeState::Suspect => Colour::Yellow.on("suspect"),
        EdgeState::Gone => Colour::Red.on("gone"),
        EdgeState::Draining => Colour::Yellow.on("draining"),
    }
}

/// Clients there are, of how many there can be.
pub fn clients(edge: &EdgeStatus) -> String {
    let load = edge.load.unwrap_or_default();
    let capacity = edge.capacity.unwrap_or_default();
    format!("{}/{}", load.clients, capacity.clients)
}

fn page(edges: &[EdgeStatus], now_ms: u64, width: Option<u16>) -> String {
    if edges.is_empty() {
        return "no edges: none has registered yet\n".into();
    }
    let notes = notes(edges, now_ms);
    let gap = if notes.is_empty() { "" } else { "\n" };
    table(edges).render(width) + gap + &notes
}

fn table(edges: &[EdgeStatus]) -> Table {
    let mut table = Table::new(&[
        "EDGE", "STATE", "CLIENTS>", "COMING>", "SENDS>", "CPU>", "SILENT>", "VERSION",
    ]);
    for edge in edges {
        let load = edge.load.unwrap_or_default();
        table.row([
            line(office(edge)),
            state(edge),
            clients(edge),
            edge.reserved.to_string(),
            rate(load.sent_bits_per_second),
            format!("{} %", load.cpu_permille / 10),
            moment::length(edge.silent_ms),
            line(&edge.software),
        ]);
    }
    table
}

/// What does not fit into columns.
fn notes(edges: &[EdgeStatus], now_ms: u64) -> String {
    let mut notes = String::new();
    for edge in edges {
        let office = line(office(edge));
        if !edge.refused.is_empty() {
            let refused = line(&edge.refused);
            notes += &format!("{office} refused the last snapshot: {refused}\n");
        }
        if edge.drain_deadline_ms > now_ms {
            let at = moment::clock(edge.drain_deadline_ms);
            let left = moment::length(edge.drain_deadline_ms - now_ms);
            notes += &format!("{office} is being emptied until {at} UTC, {left} from now\n");
        }
    }
    notes
}

fn drained(drain: &Drain) -> String {
    let office = line(&drain.office);
    let until = moment::clock(drain.deadline_ms);
    let targets = targets(&drain.targets);
    let own = drain.meetings.iter().map(|own| {
        let meeting = line(&own.meeting);
        match own.targets.as_slice() {
            [] => format!(
                "those of {meeting} go nowhere: no other edge in its countries has a place\n"
            ),
            own => format!("those of {meeting} go to\n{}", self::targets(own)),
        }
    });
    let own: String = own.collect();
    format!("{office} is being emptied until {until} UTC; its clients go to\n{targets}{own}")
}

fn targets(targets: &[DrainTarget]) -> String {
    let target = |target: &DrainTarget| {
        let places = usize::try_from(target.places).unwrap_or(usize::MAX);
        let places = count(places, "place", "places");
        format!("  {} ({places})\n", line(&target.office))
    };
    targets.iter().map(target).collect()
}

/// What is worth a line of its own.
fn changes(before: &[EdgeStatus], after: &[EdgeStatus]) -> Vec<String> {
    let (before, after) = (summaries(before), summaries(after));
    let changed = after
        .iter()
        .filter(|(office, now)| before.get(*office) != Some(now));
    let mut changes: Vec<String> = changed
        .map(|(office, now)| format!("{office}  {now}"))
        .collect();
    let removed = before.keys().filter(|office| !after.contains_key(*office));
    changes.extend(removed.map(|office| format!("{office}  removed")));
    changes
}

fn summaries(edges: &[EdgeStatus]) -> BTreeMap<String, String> {
    let summary = |edge: &EdgeStatus| {
        let refused = match edge.refused.as_str() {
            "" => String::new(),
            why => format!("  refused the last snapshot: {}", line(why)),
        };
        let emptied = match edge.drain_deadline_ms {
            0 => String::new(),
            at_ms => format!("  emptied until {} UTC", moment::clock(at_ms)),
        };
        let (state, clients) = (state(edge), clients(edge));
        let summary = format!("{state}  {clients} clients{emptied}{refused}");
        (line(office(edge)), summary)
    };
    edges.iter().map(summary).collect()
}

fn drain_time(text: &str) -> Result<Duration, String> {
    let within = moment::span(text)?;
    match within.as_secs() {
        1..=3_600 => Ok(within),
        _ => Err("clients have 1s to 1h to leave".into()),
    }
}

const DRAIN_EXAMPLES: &str = "\
Examples:
  meridianctl edges drain bangkok --within 2m --reason \"kernel update\"
  meridianctl edges undrain bangkok";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::paint;
    use meridian_proto::v1::{Capacity, Edge, Load, MeetingDrain};

    fn edge(office: &str, state: EdgeState, clients: u32) -> EdgeStatus {
        EdgeStatus {
            edge: Some(Edge {
                office: office.into(),
                ..Edge::default()
            }),
            state: state.into(),
            capacity: Some(Capacity {
                clients: 2_000,
                ..Capacity::default()
            }),
            load: Some(Load {
                clients,
                sent_bits_per_second: 812_300_000,
                cpu_permille: 437,
                ..Load::default()
            }),
            silent_ms: 412,
            software: "0.1.0".into(),
            ..EdgeStatus::default()
        }
    }

    #[test]
    fn a_full_edge_fits_eighty_columns_without_folding() {
        let edges = [edge("tegucigalpa", EdgeState::Draining, 1_999)];
        let text = paint(&page(&edges, 0, Some(80)), false);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("tegucigalpa  draining  1999/2000"), "{text}");
        assert!(text.contains("812.3 Mbit/s  43 %"), "{text}");
    }

    #[test]
    fn refused_snapshots_and_drains_are_told_below() {
        let mut edge = edge("cairo", EdgeState::Draining, 3);
        edge.refused = "a loop".into();
        edge.drain_deadline_ms = 1_796_126_400_000;
        let text = page(&[edge], 1_796_126_395_000, None);
        assert!(
            text.contains("cairo refused the last snapshot: a loop\n"),
            "{text}"
        );
        assert!(
            text.contains("emptied until 12:00:00 UTC, 5.0 s from now\n"),
            "{text}"
        );
    }

    #[test]
    fn a_drain_tells_until_when_and_whereto() {
        let drain = Drain {
            office: "cairo".into(),
            deadline_ms: 1_796_126_400_000,
            targets: vec![DrainTarget {
                office: "geneva".into(),
                places: 120,
            }],
            meetings: vec![MeetingDrain {
                meeting: "council".into(),
                targets: Vec::new(),
            }],
        };
        assert_eq!(
            drained(&drain),
            "cairo is being emptied until 12:00:00 UTC; its clients go to\n  geneva (120 places)\n\
             those of council go nowhere: no other edge in its countries has a place\n"
        );
    }

    #[test]
    fn only_what_has_changed_gets_a_line() {
        let before = [
            edge("a", EdgeState::Alive, 1),
            edge("b", EdgeState::Alive, 1),
        ];
        let mut same = edge("a", EdgeState::Alive, 1);
        same.silent_ms = 900;
        let after = [
            same,
            edge("b", EdgeState::Gone, 1),
            edge("c", EdgeState::Alive, 0),
        ];
        let lines: Vec<String> = changes(&before, &after)
            .iter()
            .map(|line| paint(line, false))
            .collect();
        assert_eq!(
            lines,
            ["b  gone  1/2000 clients", "c  alive  0/2000 clients"]
        );
        assert_eq!(
            changes(&after, &before).last().map(String::as_str),
            Some("c  removed")
        );
    }

    #[test]
    fn a_drain_lasts_a_second_to_an_hour() {
        assert!(drain_time("30s").is_ok());
        assert!(drain_time("0s").is_err());
        assert!(drain_time("2h").is_err());
    }
}
