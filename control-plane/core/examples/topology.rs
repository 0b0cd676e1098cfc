//! Lag between offices by different trees, on the project's planning figures, in a table:
//! `cargo run -p meridian-control-core --example topology -- data/offices.csv data/rtt_ms.csv`.

use meridian_control_core::topology::{
    Edge, Inputs, Lag, Place, Planner, Rtts, Shortcuts, Talk, Tree, is_much_longer, path_us,
};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::{Duration, Instant};

type Places = BTreeMap<String, Place>;
type Way<'a> = &'a dyn Fn(&Tree, &str, &str) -> u64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = std::env::args().skip(1);
    let (Some(offices), Some(ways)) = (files.next(), files.next()) else {
        return Err("usage: topology OFFICES.csv RTTS.csv".into());
    };
    let now = Instant::now();
    let offices = offices_of(&offices)?;
    let rtts = rtts_of(&ways, now)?;
    let star = chosen(&offices, offices.len(), &rtts, now)?;
    let narrow = chosen(&offices, 4, &rtts, now)?;
    let administrative = administrative(&offices, &star);

    println!(
        "root {}, standby {}\n",
        star.root,
        star.standby.as_deref().unwrap_or("none")
    );
    println!(
        "one-way lag over all pairs, ms; after the failure of the one edge for which it is worst\n"
    );
    println!("| | mean | worst | mean after a failure | worst after a failure |");
    println!("|---|---|---|---|---|");
    let through = |tree: &Tree, a: &str, b: &str| tree_us(&tree.places, &rtts, a, b);
    let audio = |tree: &Tree, a: &str, b: &str| audio_us(&tree.places, &rtts, a, b);
    let direct = |_: &Tree, a: &str, b: &str| direct_us(&rtts, a, b);
    let linked = |tree: &Tree, a: &str, b: &str| {
        let (through, direct) = (tree_us(&tree.places, &rtts, a, b), direct_us(&rtts, a, b));
        if is_much_longer(through, direct) {
            direct
        } else {
            through
        }
    };
    row("administrative tree", &administrative, &through);
    row("star on the origin: chosen tree", &star, &through);
    row(
        "the same, audio: by parent or backup, whichever is first",
        &star,
        &audio,
    );
    row_with_links(
        "chosen tree, direct links as many as an edge may have, all talk at once",
        &star,
        &rtts,
        now,
    );
    row(
        "chosen tree, direct links wherever they save much",
        &star,
        &linked,
    );
    row("direct, everybody to everybody", &star, &direct);
    row("chosen tree, four children at most", &narrow, &through);
    row(
        "the same, audio: by parent or backup, whichever is first",
        &narrow,
        &audio,
    );
    row(
        "the same, direct links wherever they save much",
        &narrow,
        &linked,
    );
    print_standbys(&offices, &star, &rtts);
    println!("\nwith four children at most:");
    print_below(&narrow, &narrow.root, 0);
    Ok(())
}

struct Office {
    id: String,
    country: String,
    kind: String,
    parent: Option<String>,
}

fn offices_of(path: &str) -> Result<Vec<Office>, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(path)?;
    let columns = columns(
        &reader.headers()?.clone(),
        ["id", "country", "kind", "parent"],
    )?;
    let mut offices = Vec::new();
    for record in reader.records() {
        let record = record?;
        let [id, country, kind, parent] = columns.map(|column| record[column].to_owned());
        let parent = Some(parent).filter(|parent| !parent.is_empty());
        offices.push(Office {
            id,
            country,
            kind,
            parent,
        });
    }
    Ok(offices)
}

fn rtts_of(path: &str, now: Instant) -> Result<Rtts, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(path)?;
    let [from, to, rtt] = columns(
        &reader.headers()?.clone(),
        ["from", "to", "planning_rtt_ms"],
    )?;
    let mut rtts = Rtts::new();
    for record in reader.records() {
        let record = record?;
        let rtt_us = record[rtt].parse::<f64>()? * 1000.0;
        rtts.record(&record[from], &record[to], rtt_us.round() as u32, now);
    }
    Ok(rtts)
}

fn columns<const N: usize>(
    headers: &csv::StringRecord,
    names: [&str; N],
) -> Result<[usize; N], String> {
    let find = |name: &str| headers.iter().position(|header| header == name);
    if let Some(missing) = names.iter().find(|name| find(name).is_none()) {
        return Err(format!("there is no column {missing}"));
    }
    Ok(names.map(|name| find(name).expect("it was looked for")))
}

fn chosen(
    offices: &[Office],
    max_children: usize,
    rtts: &Rtts,
    now: Instant,
) -> Result<Tree, Box<dyn Error>> {
    let edges: Vec<Edge> = offices
        .iter()
        .map(|office| Edge {
            id: office.id.clone(),
            failure_domain: office.id.clone(),
            country: office.country.clone(),
            is_hub_candidate: office.kind != "area",
            max_children,
            uplink_bps: None,
            is_usable: true,
        })
        .collect();
    let inputs = Inputs {
        edges: &edges,
        origin: "geneva",
        rtts,
        demand_bps: None,
        allowed_countries: &BTreeSet::new(),
    };
    let mut planner = Planner::new();
    planner.plan(&inputs, now)?;
    Ok(planner.tree().cloned().ok_or("no tree")?)
}

/// As the offices report to each other. Who loses its parent goes to that one's parent, or else to the standby.
fn administrative(offices: &[Office], star: &Tree) -> Tree {
    let mut tree = star.clone();
    for office in offices {
        let place = Place {
            parent: office.parent.clone(),
            backup: None,
        };
        tree.places.insert(office.id.clone(), place);
    }
    let base = tree.places.clone();
    for (failed, failure) in &mut tree.failures {
        let heir = base[failed].parent.clone().or(star.standby.clone());
        failure.changes = base
            .iter()
            .filter(|(_, place)| place.parent.as_ref() == Some(failed))
            .map(|(id, _)| {
                let parent = heir.clone().filter(|heir| heir != id);
                (
                    id.clone(),
                    Place {
                        parent,
                        backup: None,
                    },
                )
            })
            .collect();
    }
    tree
}

fn row(name: &str, tree: &Tree, way: Way<'_>) {
    print_row(name, tree, &|tree| lag_by(tree, way));
}

fn row_with_links(name: &str, tree: &Tree, rtts: &Rtts, now: Instant) {
    print_row(name, tree, &|tree| {
        let links = links(tree, rtts, now);
        lag_by(
            tree,
            &|tree, a, b| match links.contains(&(a.to_owned(), b.to_owned())) {
                true => direct_us(rtts, a, b),
                false => tree_us(&tree.places, rtts, a, b),
            },
        )
    });
}

fn print_row(name: &str, tree: &Tree, lag: &dyn Fn(&Tree) -> Lag) {
    let base = lag(tree);
    let after: Vec<Lag> = tree
        .failures
        .keys()
        .map(|failed| lag(&after(tree, failed)))
        .collect();
    let most = |of: fn(&Lag) -> u64| after.iter().map(of).max().unwrap_or(0);
    let cells = [
        base.mean_us,
        base.worst_us,
        most(|lag| lag.mean_us),
        most(|lag| lag.worst_us),
    ];
    println!("| {name} | {} |", cells.map(ms).join(" | "));
}

/// What each office would be as the standby: everybody's second parent for audio, and the only one without the origin.
fn print_standbys(offices: &[Office], star: &Tree, rtts: &Rtts) {
    println!("\n| standby | mean of audio | worst | mean without the origin | worst |");
    println!("|---|---|---|---|---|");
    for office in offices
        .iter()
        .filter(|office| office.id != star.root && office.kind != "area")
    {
        let mut tree = star.clone();
        for (id, place) in tree.places.iter_mut().filter(|(id, _)| **id != star.root) {
            place.backup = Some(office.id.clone()).filter(|standby| standby != id);
        }
        let both = lag_by(&tree, &|tree, a, b| audio_us(&tree.places, rtts, a, b));
        tree.places.remove(&star.root);
        for place in tree.places.values_mut() {
            *place = Place {
                parent: place.backup.take(),
                backup: None,
            };
        }
        let alone = lag_by(&tree, &|tree, a, b| tree_us(&tree.places, rtts, a, b));
        let cells = [both.mean_us, both.worst_us, alone.mean_us, alone.worst_us].map(ms);
        println!("| {} | {} |", office.id, cells.join(" | "));
    }
}

fn ms(us: u64) -> String {
    format!("{:.1}", us as f64 / 1000.0)
}

fn after(tree: &Tree, failed: &str) -> Tree {
    let mut after = tree.clone();
    after.places = tree.places_after(failed).expect("it is in the tree");
    after
}

fn lag_by(tree: &Tree, way: Way<'_>) -> Lag {
    let ids: Vec<&String> = tree.places.keys().collect();
    let pairs = ids.iter().enumerate().flat_map(|(at, a)| {
        let others = ids[at + 1..].iter();
        others.map(move |b| way(tree, a, b))
    });
    Lag::of(pairs)
}

/// The direct links there are once everybody has talked to everybody for five seconds.
fn links(tree: &Tree, rtts: &Rtts, now: Instant) -> BTreeSet<(String, String)> {
    let mut shortcuts = Shortcuts::new();
    for second in 0..5 {
        let now = now + Duration::from_secs(second);
        for from in tree.places.keys() {
            for to in tree.places.keys() {
                shortcuts.heard(
                    Talk {
                        from,
                        to,
                        bps: 30_000,
                    },
                    now,
                );
            }
        }
        shortcuts.step(tree, rtts, now);
    }
    shortcuts
        .links()
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect()
}

fn tree_us(places: &Places, rtts: &Rtts, a: &str, b: &str) -> u64 {
    path_us(places, rtts, a, b).expect("all hang from one root")
}

fn direct_us(rtts: &Rtts, a: &str, b: &str) -> u64 {
    u64::from(rtts.one_way_us(a, b).expect("all are reachable"))
}

/// Audio goes up by parents and backup parents, and down by both.
fn audio_us(places: &Places, rtts: &Rtts, a: &str, b: &str) -> u64 {
    let [up, down] = [a, b].map(|edge| upwards(places, rtts, edge));
    let meeting = up
        .iter()
        .filter_map(|(edge, way)| Some(way + down.get(edge)?));
    meeting.min().expect("all hang from one root")
}

fn upwards<'a>(places: &'a Places, rtts: &Rtts, edge: &'a str) -> BTreeMap<&'a str, u64> {
    let mut ways = BTreeMap::from([(edge, 0)]);
    let mut open = vec![edge];
    while let Some(edge) = open.pop() {
        let place = &places[edge];
        for parent in [&place.parent, &place.backup].into_iter().flatten() {
            let way = ways[edge] + direct_us(rtts, edge, parent);
            if ways.get(parent.as_str()).is_none_or(|known| way < *known) {
                ways.insert(parent, way);
                open.push(parent);
            }
        }
    }
    ways
}

fn print_below(tree: &Tree, edge: &str, depth: usize) {
    let backup = tree.places[edge]
        .backup
        .as_deref()
        .map(|backup| format!(" (backup {backup})"));
    println!(
        "{}{edge}{}",
        "  ".repeat(depth + 1),
        backup.unwrap_or_default()
    );
    for (child, place) in &tree.places {
        if place.parent.as_deref() == Some(edge) {
            print_below(tree, child, depth + 1);
        }
    }
}
