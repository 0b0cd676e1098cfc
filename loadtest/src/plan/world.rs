//! Offices, the paths between them, and the tree they would form.

use meridian_control_core::ids;
use meridian_control_core::placement::Whereabouts;
use meridian_control_core::places::{CountryCode, Place, Point};
use meridian_control_core::topology::{Edge, Inputs, MAX_EDGES, Planner, Rtts, Tree, path_us};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Where edges are, and how they hang together.
#[derive(Clone, Debug)]
pub struct World {
    places: BTreeMap<String, Place>,
    rtts: Rtts,
    tree: Tree,
}

impl World {
    /// The offices (`id,country,itu_region,kind,lat,lon`) and paths (`from,to,planning_rtt_ms`) of two CSV texts, joined as
    /// the control plane would join them. `only` names those that have an edge, the origin first; all if empty.
    ///
    /// # Errors
    /// What is wrong with the files, or with the names.
    pub fn new(offices: &str, rtts: &str, only: &[String]) -> Result<World, String> {
        let mut places = BTreeMap::new();
        let mut edges = Vec::new();
        let mut all = Vec::new();
        for row in rows(
            offices,
            ["id", "country", "itu_region", "kind", "lat", "lon"],
        )? {
            let [id, country, region, kind, lat, lon] = row;
            all.push(id.clone());
            if !only.is_empty() && !only.contains(&id) {
                continue;
            }
            let said = |error: &dyn std::fmt::Display| format!("office {id}: {error}");
            let degrees = |text: &str| text.parse::<f64>().map_err(|error| said(&error));
            let place = Place {
                point: Point::new(degrees(&lat)?, degrees(&lon)?).map_err(|e| said(&e))?,
                country: country.parse().map_err(|e| said(&e))?,
                region: region.parse().map_err(|e| said(&e))?,
            };
            edges.push(edge(&id, &country, &kind));
            places.insert(id, place);
        }
        if let Some(unknown) = only.iter().find(|id| !places.contains_key(*id)) {
            return Err(format!(
                "offices: there is no office `{unknown}`; there are: {}",
                all.join(", ")
            ));
        }
        let origin = only
            .first()
            .cloned()
            .or(all.into_iter().next())
            .ok_or("no office is listed")?;
        let now = Instant::now();
        let rtts = read_rtts(rtts, now)?;
        let inputs = Inputs {
            edges: &edges,
            origin: &origin,
            rtts: &rtts,
            demand_bps: None,
            allowed_countries: &BTreeSet::new(),
        };
        let mut planner = Planner::new();
        planner
            .plan(&inputs, now)
            .map_err(|error| error.to_string())?;
        let tree = planner.tree().cloned().ok_or("no tree can be made")?;
        Ok(World { places, rtts, tree })
    }

    /// The tree.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Every office with an edge.
    pub fn offices(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// The office that people of a country are sent to, and the predicted way there, one way in ms.
    pub fn nearest(&self, country: CountryCode) -> Option<(&str, f64)> {
        let whereabouts = Whereabouts {
            country: Some(country),
            ..Whereabouts::default()
        };
        let far = |(id, place): (&String, &Place)| {
            let office = ids::Office::new(id).ok()?;
            Some(whereabouts.predict(&office, place).rtt_us)
        };
        let all = self.places.iter();
        let all = all.filter_map(|(id, place)| Some((far((id, place))?, id)));
        let (rtt_us, id) = all.min()?;
        Some((id, f64::from(rtt_us) / 2e3))
    }

    /// The way of media between two offices' edges through the tree, one way in ms.
    pub fn path_ms(&self, from: &str, to: &str) -> Option<f64> {
        path_us(&self.tree.places, &self.rtts, from, to).map(|us| us as f64 / 1e3)
    }

    /// Edges on the way, both ends included.
    pub fn hops(&self, from: &str, to: &str) -> usize {
        let (up, down) = (self.tree.root_path(from), self.tree.root_path(to));
        let meeting = up.iter().position(|edge| down.contains(edge));
        let meeting = meeting.unwrap_or(up.len().saturating_sub(1));
        let end = down
            .iter()
            .position(|edge| *edge == up[meeting])
            .unwrap_or(0);
        meeting + end + 1
    }
}

fn edge(id: &str, country: &str, kind: &str) -> Edge {
    Edge {
        id: id.to_owned(),
        failure_domain: id.to_owned(),
        country: country.to_owned(),
        is_hub_candidate: kind != "area",
        max_children: MAX_EDGES,
        uplink_bps: None,
        is_usable: true,
    }
}

fn read_rtts(text: &str, now: Instant) -> Result<Rtts, String> {
    let mut rtts = Rtts::new();
    for [from, to, rtt] in rows(text, ["from", "to", "planning_rtt_ms"])? {
        let ms: f64 = rtt
            .parse()
            .map_err(|_| format!("{from} to {to}: `{rtt}` is no number of ms"))?;
        rtts.record(&from, &to, (ms * 1e3).round() as u32, now);
    }
    Ok(rtts)
}

fn rows<const N: usize>(text: &str, names: [&str; N]) -> Result<Vec<[String; N]>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut columns = [0; N];
    for (column, name) in columns.iter_mut().zip(names) {
        let found = headers.iter().position(|header| header == name);
        *column = found.ok_or_else(|| format!("there is no column {name}"))?;
    }
    let records = reader.records().map(|record| {
        let record = record.map_err(|error| error.to_string())?;
        Ok(columns.map(|column| record.get(column).unwrap_or_default().to_owned()))
    });
    records.collect()
}
