//! How edges are joined, as `meridianctl topology show` tells it, and the way media takes from one to another.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Result;
use serde_json::Value;

use super::offices::Paths;

/// The tree and the direct links.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// The root's office.
    pub origin: String,
    parents: BTreeMap<String, String>,
    shortcuts: BTreeSet<(String, String)>,
    /// Edges that report, and whether they use this tree.
    applied: BTreeMap<String, bool>,
}

/// A way from edge to edge.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Way {
    /// The offices that media passes, both ends included.
    pub offices: Vec<String>,
    /// One way along it.
    pub delay: Duration,
}

impl Tree {
    /// Takes in what `meridianctl topology show --output json` prints.
    pub fn read(json: &Value) -> Self {
        let (topology, mut tree) = (&json["topology"], Self::default());
        tree.origin = text(&topology["origin"]);
        for row in list(&topology["tree"]) {
            tree.parents
                .insert(text(&row["office"]), text(&row["parent"]));
        }
        for link in list(&topology["shortcuts"]) {
            tree.shortcuts
                .insert((text(&link["office"]), text(&link["other"])));
        }
        for edge in list(&json["edges"]) {
            let is_alive = edge["state"] == "EDGE_STATE_ALIVE";
            let is_current = edge["applied"] == topology["version"];
            let office = text(&edge["edge"]["office"]);
            tree.applied.insert(office, is_alive && is_current);
        }
        tree
    }

    /// The office above another; none above the root, and where nothing is known.
    pub fn parent(&self, office: &str) -> Option<&str> {
        let parent = self.parents.get(office)?;
        (!parent.is_empty()).then_some(parent)
    }

    /// Which of these offices are not joined to the root by what edges have been told.
    pub fn outside<'a>(&self, offices: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let is_joined = |office: &str| {
            let has_applied = self.applied.get(office) == Some(&true);
            has_applied && self.ancestry(office).last() == Some(&self.origin.as_str())
        };
        offices
            .into_iter()
            .filter(|office| !is_joined(office))
            .collect()
    }

    /// The way media takes: over a direct link if the two have one, else through the tree.
    pub fn way(&self, from: &str, to: &str, paths: &Paths) -> Result<Way> {
        let pair = (from.to_owned(), to.to_owned());
        let is_direct = self.shortcuts.contains(&pair)
            || self.shortcuts.contains(&(pair.1.clone(), pair.0.clone()));
        let offices = match is_direct {
            true => vec![pair.0, pair.1],
            false => self.through_tree(from, to),
        };
        let mut delay = Duration::ZERO;
        for hop in offices.windows(2) {
            delay += paths.between(&hop[0], &hop[1])?.one_way;
        }
        Ok(Way { offices, delay })
    }

    /// Up to the first office that is above both, and down.
    fn through_tree(&self, from: &str, to: &str) -> Vec<String> {
        let (up, down) = (self.ancestry(from), self.ancestry(to));
        let Some(turn) = up.iter().position(|office| down.contains(office)) else {
            return Vec::new();
        };
        let descent = down.iter().take_while(|office| **office != up[turn]);
        let descent: Vec<_> = descent.collect();
        let all = up[..=turn].iter().chain(descent.into_iter().rev());
        all.map(|office| (*office).to_owned()).collect()
    }

    /// An office and all above it, the root last.
    fn ancestry<'a>(&'a self, office: &'a str) -> Vec<&'a str> {
        let mut offices = vec![office];
        while let Some(parent) = self.parent(offices[offices.len() - 1])
            && offices.len() <= self.parents.len()
        {
            offices.push(parent);
        }
        offices
    }
}

impl Way {
    /// For people, as in `bangkok > geneva > cairo`.
    pub fn text(&self) -> String {
        self.offices.join(" > ")
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tree() -> Tree {
        let version = json!({ "epoch": 1, "revision": 7 });
        let edge = |office: &str, state: &str, applied: &Value| json!({ "edge": { "office": office }, "state": state, "applied": applied });
        let alive = "EDGE_STATE_ALIVE";
        Tree::read(&json!({
            "topology": {
                "version": version,
                "origin": "geneva",
                "tree": [
                    { "office": "geneva", "parent": "" },
                    { "office": "bangkok", "parent": "geneva" },
                    { "office": "jakarta", "parent": "bangkok" },
                    { "office": "cairo", "parent": "geneva" },
                    { "office": "dakar", "parent": "geneva" },
                ],
                "shortcuts": [{ "office": "dakar", "other": "cairo" }],
            },
            "edges": [
                edge("geneva", alive, &version),
                edge("bangkok", alive, &version),
                edge("jakarta", alive, &version),
                edge("cairo", alive, &json!({ "epoch": 1, "revision": 6 })),
                edge("dakar", "EDGE_STATE_SUSPECT", &version),
            ],
        }))
    }

    #[test]
    fn media_goes_up_to_what_two_have_above_them_and_down_again() {
        let (tree, paths) = (tree(), Paths::read().unwrap());
        let way = |from, to| tree.way(from, to, &paths).unwrap().text();
        assert_eq!(
            way("jakarta", "cairo"),
            "jakarta > bangkok > geneva > cairo"
        );
        assert_eq!(way("bangkok", "jakarta"), "bangkok > jakarta");
        assert_eq!(way("geneva", "geneva"), "geneva");
        assert_eq!(way("cairo", "dakar"), "cairo > dakar");
        let half = paths.between("bangkok", "geneva").unwrap().one_way;
        assert_eq!(tree.way("bangkok", "geneva", &paths).unwrap().delay, half);
    }

    #[test]
    fn who_is_not_in_the_tree_or_does_not_follow_it_is_outside() {
        let tree = tree();
        let offices = ["geneva", "jakarta", "cairo", "dakar", "moscow"];
        assert_eq!(tree.outside(offices), ["cairo", "dakar", "moscow"]);
        assert_eq!(tree.parent("jakarta"), Some("bangkok"));
        assert_eq!(tree.parent("geneva"), None);
    }

    #[test]
    fn a_loop_ends() {
        let json = json!({ "topology": { "tree": [
            { "office": "a", "parent": "b" },
            { "office": "b", "parent": "a" },
        ] } });
        assert_eq!(Tree::read(&json).outside(["a"]), ["a"]);
    }
}
