//! Who may depend on whom. The codec and the relay's core are pure: whatever runs them brings the
//! sockets, the clock and the tasks.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::shell;

/// Checks the workspace's dependency graph as Cargo resolves it.
///
/// # Errors
/// If Cargo cannot tell, or a rule is broken; every breach is named with its path.
pub fn check() -> Result<()> {
    let args = [
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--all-features",
    ];
    let graph = Graph::parse(&shell::read(&mut shell::command("cargo", args))?)?;
    let breaches = graph.breaches();
    if !breaches.is_empty() {
        bail!("\n{}", breaches.join("\n"));
    }
    Ok(())
}

/// Crates that do no I/O, and what would give them some. Rules for crates that are not there yet
/// take effect with them.
const PURE: &[&str] = &["meridian-wire", "meridian-relay", "meridian-control-core"];
const IMPURE: &[&str] = &[
    "tokio",
    "quinn",
    "quinn-proto",
    "tonic",
    "etcd-client",
    "hyper",
    "socket2",
    "mio",
];

/// The crates of ours that each may use. Those that are not listed may use any.
const MAY_USE: &[(&str, &[&str])] = &[
    ("meridian-wire", &[]),
    ("meridian-relay", &["meridian-wire"]),
    ("meridian-session", &["meridian-wire"]),
    ("meridian-control-core", &[]),
    ("meridian-proto", &[]),
    ("meridian-process", &[]),
    ("xtask", &[]),
];

/// Normal and build dependencies by package name; what only tests use does not count.
#[derive(Debug, Default)]
struct Graph {
    uses: BTreeMap<String, BTreeSet<String>>,
    ours: BTreeSet<String>,
}

impl Graph {
    fn parse(json: &str) -> Result<Self> {
        let metadata: Metadata = serde_json::from_str(json).context("unknown metadata")?;
        let names: BTreeMap<_, _> = metadata
            .packages
            .iter()
            .map(|p| (p.id.as_str(), p.name.as_str()))
            .collect();
        let name = |id: &str| names.get(id).map(|name| (*name).to_owned());
        let mut graph = Self {
            ours: metadata
                .workspace_members
                .iter()
                .filter_map(|id| name(id))
                .collect(),
            ..Self::default()
        };
        for node in &metadata.resolve.nodes {
            let used = node.deps.iter().filter(|dep| dep.is_shipped());
            let used: Vec<_> = used.filter_map(|dep| name(&dep.pkg)).collect();
            let Some(user) = name(&node.id) else { continue };
            // Two versions of one package count as one.
            graph.uses.entry(user).or_default().extend(used);
        }
        Ok(graph)
    }

    fn breaches(&self) -> Vec<String> {
        let impure = PURE.iter().flat_map(|pure| {
            let forbidden = IMPURE.iter().filter_map(|impure| self.path(pure, impure));
            forbidden.map(|path| format!("must stay pure: {}", path.join(" → ")))
        });
        let foreign = MAY_USE.iter().flat_map(|(user, allowed)| {
            let used = self.uses.get(*user).into_iter().flatten();
            let refused = used.filter(|u| self.ours.contains(*u) && !allowed.contains(&u.as_str()));
            refused.map(move |used| format!("must not use each other: {user} → {used}"))
        });
        impure.chain(foreign).collect()
    }

    /// A shortest chain of uses from one package to another, both included.
    fn path(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut came_from = BTreeMap::from([(from, None)]);
        let mut reached = vec![from];
        let mut next = 0;
        while let Some(user) = reached.get(next).copied() {
            next += 1;
            for used in self.uses.get(user).into_iter().flatten() {
                if !came_from.contains_key(used.as_str()) {
                    came_from.insert(used, Some(user));
                    reached.push(used);
                }
            }
        }
        came_from.get(to)?;
        let chain = std::iter::successors(Some(to), |at| came_from.get(at).copied().flatten());
        let mut path: Vec<_> = chain.map(str::to_owned).collect();
        path.reverse();
        Some(path)
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

impl Dependency {
    fn is_shipped(&self) -> bool {
        self.dep_kinds
            .iter()
            .any(|kind| kind.kind.as_deref() != Some("dev"))
    }
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph from `user > used` lines; all names without a dot are ours.
    fn graph(lines: &[&str]) -> Graph {
        let mut graph = Graph::default();
        for line in lines {
            let (user, used) = line.split_once(" > ").unwrap();
            graph
                .uses
                .entry(user.into())
                .or_default()
                .insert(used.into());
            graph.ours.extend(
                [user, used]
                    .map(str::to_owned)
                    .into_iter()
                    .filter(|name| name.starts_with("meridian-") || name == "xtask"),
            );
        }
        graph
    }

    #[test]
    fn the_intended_graph_is_fine() {
        let intended = graph(&[
            "meridian-wire > bytes",
            "meridian-relay > meridian-wire",
            "meridian-session > meridian-wire",
            "meridian-session > quinn",
            "quinn > tokio",
            "meridian-edge > meridian-relay",
            "meridian-edge > meridian-session",
            "xtask > clap",
        ]);
        assert_eq!(intended.breaches(), [] as [&str; 0]);
    }

    #[test]
    fn io_in_a_pure_crate_is_found_through_any_chain() {
        let breaches =
            graph(&["meridian-relay > helper", "helper > quinn", "quinn > tokio"]).breaches();
        assert_eq!(
            breaches,
            [
                "must stay pure: meridian-relay → helper → quinn → tokio",
                "must stay pure: meridian-relay → helper → quinn",
            ]
        );
    }

    #[test]
    fn crates_of_ours_use_each_other_in_one_direction_only() {
        let breaches =
            graph(&["meridian-wire > meridian-relay", "xtask > meridian-edge"]).breaches();
        assert_eq!(
            breaches,
            [
                "must not use each other: meridian-wire → meridian-relay",
                "must not use each other: xtask → meridian-edge",
            ]
        );
    }

    #[test]
    fn what_only_tests_use_does_not_count() {
        let json = r#"{
            "packages": [{"id": "w", "name": "meridian-wire"}, {"id": "t", "name": "tokio"}],
            "workspace_members": ["w"],
            "resolve": {"nodes": [
                {"id": "w", "deps": [{"pkg": "t", "dep_kinds": [{"kind": "dev"}]}]},
                {"id": "t", "deps": []}
            ]}
        }"#;
        assert_eq!(Graph::parse(json).unwrap().breaches(), [] as [&str; 0]);
        let shipped = json.replace(r#""dev""#, "null");
        assert_eq!(Graph::parse(&shipped).unwrap().breaches().len(), 1);
    }
}
