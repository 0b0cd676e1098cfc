//! `meridianctl topology`.

use crate::connection::{Caller, Link};
use crate::exit::{ExitCode, Failure};
use crate::output::Output;
use crate::table::Table;
use crate::text::{Colour, NONE, line, list, rtt};
use crate::tree::{self, Branch};
use crate::{edges, json};
use clap::{Args, Subcommand};
use meridian_proto::v1::{
    EdgeStatus, Failure as FailureTable, GetTopologyRequest, Topology, TreeRow,
    WatchTopologyRequest, WatchTopologyResponse,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// `meridianctl topology`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Draw the tree that media takes from edge to edge, and the direct links.
    #[command(after_help = EXAMPLES)]
    Show(ShowArgs),
}

/// `meridianctl topology show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Go on and show each change.
    #[arg(long, short)]
    pub watch: bool,
    /// The tree as edges will have it, by themselves, when this office's edge fails.
    #[arg(long, value_name = "OFFICE")]
    pub failure: Option<String>,
}

/// Does it.
///
/// # Errors
/// As the server says.
pub async fn run(command: Command, caller: &Caller, output: &Output) -> Result<(), Failure> {
    let Command::Show(args) = command;
    if args.watch {
        return watch(args.failure.as_deref(), caller, output).await;
    }
    let link = caller.link().await?;
    let view = View::read(&link, args.failure.as_deref()).await?;
    output.answer(|| view.page(output.width()), || view.json())
}

async fn watch(failed: Option<&str>, caller: &Caller, output: &Output) -> Result<(), Failure> {
    let mut before: Option<View> = None;
    let open = async |link: &Link| {
        link.ask(link.ops().watch_topology(WatchTopologyRequest {}))
            .await
    };
    let show = async |link: &Link, _: WatchTopologyResponse| {
        // What is streamed has no round-trip times.
        let view = View::read(link, failed).await?;
        output.show(
            || view.page(output.width()),
            || view.changes(before.as_ref()),
            || view.json(),
        )?;
        before = Some(view);
        Ok(())
    };
    caller.follow(open, show).await
}

/// The tree to show, and how its edges are.
#[derive(Clone, Debug, Default)]
struct View {
    topology: Topology,
    edges: Vec<EdgeStatus>,
    failed: Option<FailureTable>,
}

impl View {
    async fn read(link: &Link, failed: Option<&str>) -> Result<View, Failure> {
        let answer = link
            .ask(link.ops().get_topology(GetTopologyRequest {}))
            .await?;
        let topology = answer.topology.unwrap_or_default();
        let edges = edges::all(link).await?;
        let table = failed.map(|office| failure_of(&topology, &edges, office));
        let failed = table.transpose()?;
        Ok(View {
            topology,
            edges,
            failed,
        })
    }

    /// The tree's rows, changed as they will be if an edge fails.
    fn rows(&self) -> Vec<TreeRow> {
        let Some(failed) = &self.failed else {
            return self.topology.tree.clone();
        };
        let changed: BTreeMap<&str, &TreeRow> = by_office(&failed.changed);
        let stays = |row: &&TreeRow| {
            row.office != failed.office && !changed.contains_key(row.office.as_str())
        };
        let rows = self.topology.tree.iter().filter(stays);
        let mut rows: Vec<TreeRow> = rows.chain(changed.values().copied()).cloned().collect();
        rows.sort_by(|a, b| a.office.cmp(&b.office));
        rows
    }

    fn page(&self, width: Option<u16>) -> String {
        let rows = self.rows();
        if rows.is_empty() && self.edges.is_empty() {
            return "no edges: none has registered yet\n".into();
        }
        let roots = forest(&rows, &self.topology.origin);
        let heading = match &self.failed {
            Some(failed) => format!("When {} has failed:\n\n", line(&failed.office)),
            None => String::new(),
        };
        heading + &self.tree(&roots, &rows).render(width) + &self.outside(&roots) + &self.links()
    }

    fn tree(&self, roots: &[Branch], rows: &[TreeRow]) -> Table {
        let last = match self.failed {
            Some(_) => "PARENT BEFORE",
            None => "BACKUP PARENT",
        };
        let mut table = Table::new(&["EDGE", "RTT>", last, "STATE", "CLIENTS>", ""]);
        let rows = by_office(rows);
        let before = by_office(&self.topology.tree);
        for (margin, office) in tree::lines(roots) {
            let row = rows.get(office);
            let parent = row.map_or("", |row| row.parent.as_str());
            let beside = match &self.failed {
                Some(_) => before
                    .get(office)
                    .map(|row| row.parent.as_str())
                    .filter(|was| *was != parent),
                None => row.map(|row| row.backup_parent.as_str()),
            };
            let status = self.edges.iter().find(|edge| edges::office(edge) == office);
            table.row([
                format!("{margin}{}", line(office)),
                rtt(self.rtt_us(office, parent)),
                beside.filter(|it| !it.is_empty()).map_or(NONE.into(), line),
                status.map_or(Colour::Red.on("unknown"), edges::state),
                status.map_or(NONE.into(), edges::clients),
                self.part(office, parent),
            ]);
        }
        table
    }

    /// What a root, or who may become it, is.
    fn part(&self, office: &str, parent: &str) -> String {
        match parent.is_empty() {
            _ if office == self.topology.origin => "origin".into(),
            true if self.failed.is_some() => "root".into(),
            _ if office == self.topology.standby => "standby".into(),
            true => Colour::Yellow.on("root"),
            false => String::new(),
        }
    }

    /// Edges that are in the network, but not in the tree.
    fn outside(&self, roots: &[Branch]) -> String {
        let drawn: BTreeSet<&str> = tree::lines(roots)
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        let failed = self.failed.as_ref().map_or("", |failed| &failed.office);
        let all = self.edges.iter().map(edges::office);
        let rows = self.topology.tree.iter().map(|row| row.office.as_str());
        let outside: BTreeSet<&str> = all
            .chain(rows)
            .filter(|office| !drawn.contains(office) && *office != failed)
            .collect();
        match outside.is_empty() {
            true => String::new(),
            false => {
                let outside: Vec<&str> = outside.into_iter().collect();
                format!("\nNot in the tree: {}\n", list(&outside))
            }
        }
    }

    fn links(&self) -> String {
        let failed = self.failed.as_ref().map_or("", |failed| &failed.office);
        let shortcuts = self.topology.shortcuts.iter();
        let shortcuts = shortcuts.filter(|it| it.office != failed && it.other != failed);
        let mut table = Table::new(&["DIRECT LINK", "RTT>"]);
        for shortcut in shortcuts {
            table.row([
                format!("{} ─ {}", line(&shortcut.office), line(&shortcut.other)),
                rtt(self.rtt_us(&shortcut.office, &shortcut.other)),
            ]);
        }
        match table.is_empty() {
            true => String::new(),
            false => format!("\n{}", table.render(None)),
        }
    }

    /// As the link's own ends measure it, else as last measured between the two; 0 if it is not known.
    fn rtt_us(&self, office: &str, other: &str) -> u32 {
        let of_link = |from: &str, to: &str| {
            let edge = self.edges.iter().find(|edge| edges::office(edge) == from)?;
            let link = edge.neighbours.iter().find(|link| link.office == to)?;
            Some(link.rtt_us).filter(|us| *us != 0)
        };
        let measured = || {
            let pairs = self.topology.rtts.iter();
            let mut pairs = pairs.filter(|pair| {
                let pair = (pair.office.as_str(), pair.other.as_str());
                pair == (office, other) || pair == (other, office)
            });
            pairs.next().map(|pair| pair.rtt_us)
        };
        of_link(office, other)
            .or_else(|| of_link(other, office))
            .or_else(measured)
            .unwrap_or_default()
    }

    /// What is worth a line of its own.
    fn changes(&self, before: Option<&View>) -> Vec<String> {
        let nothing = View::default();
        let (before, rows) = (before.unwrap_or(&nothing), self.rows());
        let (was, is) = (before.rows(), by_office(&rows));
        let was = by_office(&was);
        let of = |row: &TreeRow| {
            let backup = match row.backup_parent.as_str() {
                "" => String::new(),
                backup => format!(", backup {}", line(backup)),
            };
            match row.parent.as_str() {
                "" => format!("root{backup}"),
                parent => format!("below {}{backup}", line(parent)),
            }
        };
        let mut changes = Vec::new();
        if self.topology.origin != before.topology.origin {
            changes.push(format!("origin is {}", line(&self.topology.origin)));
        }
        for (office, row) in &is {
            match was.get(office) {
                Some(was) if was == row => {}
                Some(was) => {
                    changes.push(format!("{}  {}, was {}", line(office), of(row), of(was)));
                }
                None => changes.push(format!("{}  {}", line(office), of(row))),
            }
        }
        let gone = was.keys().filter(|office| !is.contains_key(*office));
        changes.extend(gone.map(|office| format!("{}  out of the tree", line(office))));
        changes
    }

    fn json(&self) -> Value {
        let mut json = json!({
            "topology": json::of(&self.topology),
            "edges": json::all(&self.edges),
        });
        if let Some(failed) = &self.failed {
            json["failure"] = json!({
                "office": failed.office,
                "tree": json::all(&self.rows()),
            });
        }
        json
    }
}

/// What changes when an office's edge fails; nothing if it has none below it.
fn failure_of(
    topology: &Topology,
    edges: &[EdgeStatus],
    office: &str,
) -> Result<FailureTable, Failure> {
    let table = topology
        .failures
        .iter()
        .find(|table| table.office == office);
    let is_known = topology.origin == office
        || topology.tree.iter().any(|row| row.office == office)
        || edges.iter().any(|edge| edges::office(edge) == office);
    match table {
        Some(table) => Ok(table.clone()),
        None if is_known => Ok(FailureTable {
            office: office.into(),
            changed: Vec::new(),
        }),
        None => {
            let what = format!("no edge of `{office}` is in the network");
            Err(Failure::said(ExitCode::Usage, what))
        }
    }
}

/// Roots, the origin first, with what hangs below them. What hangs on itself is left out.
fn forest(rows: &[TreeRow], origin: &str) -> Vec<Branch> {
    let mut below: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    for row in rows {
        placed.insert(&row.office);
        if !row.parent.is_empty() {
            below.entry(&row.parent).or_default().insert(&row.office);
        }
    }
    let has_parent = |office: &str| {
        let mut of = rows.iter().filter(|row| row.office == office);
        of.any(|row| !row.parent.is_empty())
    };
    let all: BTreeSet<&str> = placed.into_iter().chain(below.keys().copied()).collect();
    let mut roots: Vec<&str> = all
        .into_iter()
        .filter(|office| !has_parent(office))
        .collect();
    roots.sort_by_key(|office| (*office != origin, *office));
    roots.into_iter().map(|root| branch(root, &below)).collect()
}

/// Every edge has one parent at most, so whatever hangs below a root comes to an end.
fn branch(office: &str, below: &BTreeMap<&str, BTreeSet<&str>>) -> Branch {
    let children = below.get(office).into_iter().flatten();
    Branch {
        name: office.into(),
        below: children.map(|child| branch(child, below)).collect(),
    }
}

fn by_office(rows: &[TreeRow]) -> BTreeMap<&str, &TreeRow> {
    rows.iter().map(|row| (row.office.as_str(), row)).collect()
}

const EXAMPLES: &str = "\
Examples:
  meridianctl topology show
  meridianctl topology show --failure geneva
  meridianctl topology show -o json | jq '.topology.tree[] | select(.parent == \"geneva\") | .office'";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::paint;
    use meridian_proto::v1::{Edge, EdgeState, NeighbourReport, PairRtt, Shortcut};

    fn row(office: &str, parent: &str, backup: &str) -> TreeRow {
        TreeRow {
            office: office.into(),
            parent: parent.into(),
            backup_parent: backup.into(),
        }
    }

    fn edge(office: &str) -> EdgeStatus {
        EdgeStatus {
            edge: Some(Edge {
                office: office.into(),
                ..Edge::default()
            }),
            state: EdgeState::Alive.into(),
            ..EdgeStatus::default()
        }
    }

    fn view() -> View {
        let mut bangkok = edge("bangkok");
        bangkok.neighbours.push(NeighbourReport {
            office: "geneva".into(),
            rtt_us: 158_200,
            ..NeighbourReport::default()
        });
        View {
            topology: Topology {
                origin: "geneva".into(),
                standby: "cairo".into(),
                tree: vec![
                    row("bangkok", "geneva", "cairo"),
                    row("cairo", "geneva", ""),
                    row("jakarta", "bangkok", "geneva"),
                ],
                failures: vec![FailureTable {
                    office: "geneva".into(),
                    changed: vec![row("cairo", "", ""), row("bangkok", "cairo", "")],
                }],
                shortcuts: vec![Shortcut {
                    office: "jakarta".into(),
                    other: "cairo".into(),
                }],
                rtts: vec![PairRtt {
                    office: "bangkok".into(),
                    other: "jakarta".into(),
                    rtt_us: 24_000,
                }],
                version: None,
            },
            edges: vec![
                bangkok,
                edge("cairo"),
                edge("geneva"),
                edge("jakarta"),
                edge("rome"),
            ],
            failed: None,
        }
    }

    fn drawn(view: &View) -> Vec<String> {
        let text = paint(&view.page(Some(80)), false);
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_tree_is_drawn_with_round_trips_and_what_else_there_is() {
        assert_eq!(
            drawn(&view()),
            [
                "EDGE                RTT  BACKUP PARENT  STATE  CLIENTS",
                "geneva                –  –              alive      0/0  origin",
                "├─ bangkok     158.2 ms  cairo          alive      0/0",
                "│  └─ jakarta   24.0 ms  geneva         alive      0/0",
                "└─ cairo              –  –              alive      0/0  standby",
                "",
                "Not in the tree: rome",
                "",
                "DIRECT LINK      RTT",
                "jakarta ─ cairo    –",
            ]
        );
    }

    #[test]
    fn a_failure_shows_the_tree_that_edges_will_make_by_themselves() {
        let mut view = view();
        view.failed = Some(failure_of(&view.topology, &view.edges, "geneva").expect("known"));
        let drawn = drawn(&view);
        assert_eq!(
            drawn[..6],
            [
                "When geneva has failed:",
                "",
                "EDGE               RTT  PARENT BEFORE  STATE  CLIENTS",
                "cairo                –  geneva         alive      0/0  root",
                "└─ bangkok           –  geneva         alive      0/0",
                "   └─ jakarta  24.0 ms  –              alive      0/0",
            ]
        );
        assert_eq!(view.json()["failure"]["tree"][1]["parent"], "");
    }

    #[test]
    fn the_failure_of_a_leaf_only_takes_it_away() {
        let mut view = view();
        view.failed = Some(failure_of(&view.topology, &view.edges, "jakarta").expect("known"));
        assert!(!drawn(&view).iter().any(|line| line.contains("─ jakarta")));
        let unknown = failure_of(&view.topology, &view.edges, "atlantis");
        assert_eq!(
            unknown.map_err(|failure| failure.code),
            Err(ExitCode::Usage)
        );
    }

    #[test]
    fn edges_that_hang_on_each_other_are_told_apart_from_the_tree() {
        let mut view = view();
        view.topology.tree = vec![row("bangkok", "jakarta", ""), row("jakarta", "bangkok", "")];
        let text = drawn(&view).join("\n");
        assert!(
            text.contains("Not in the tree: bangkok, cairo, geneva, jakarta, rome"),
            "{text}"
        );
    }

    #[test]
    fn changes_name_the_edges_that_moved() {
        let before = view();
        let mut after = view();
        after.topology.tree = vec![
            row("bangkok", "geneva", ""),
            row("jakarta", "geneva", "bangkok"),
        ];
        assert_eq!(
            after.changes(Some(&before)),
            [
                "bangkok  below geneva, was below geneva, backup cairo",
                "jakarta  below geneva, backup bangkok, was below bangkok, backup geneva",
                "cairo  out of the tree",
            ]
        );
        assert_eq!(before.changes(None)[0], "origin is geneva");
    }
}
