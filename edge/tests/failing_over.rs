//! Edges that apply the table for the failure of one of them, alone.

mod common;
#[path = "common/offices.rs"]
mod offices;
#[path = "common/talk.rs"]
mod talk;

use common::*;
use meridian_edge::neighbours::tables::{Row, Rows, Tables, TablesError};
use meridian_edge::neighbours::tree::TreeError;
use meridian_wire::Draft;
use offices::{Authority, Office, own_addresses};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use talk::{has_no_hole, hear, patient, speak};

const OFFICES: [&str; 4] = ["addis-ababa", "bangkok", "geneva", "new-york"];

fn rows(rows: &[(&str, &str, &str)]) -> Rows {
    let some = |office: &str| (!office.is_empty()).then(|| office.to_owned());
    let row = |(office, parent, backup): &(&str, &str, &str)| {
        let (parent, backup) = (some(parent), some(backup));
        (office.to_string(), Row { parent, backup })
    };
    rows.iter().map(row).collect()
}

/// Geneva is the root; without it New York is.
fn star(addresses: &[SocketAddr; 4]) -> Tables {
    let places = OFFICES.iter().zip(addresses);
    Tables {
        places: places
            .map(|(office, address)| (office.to_string(), (*address).into()))
            .collect(),
        base: rows(&[
            ("addis-ababa", "geneva", "new-york"),
            ("bangkok", "geneva", "new-york"),
            ("new-york", "geneva", ""),
        ]),
        failures: [(
            "geneva".to_owned(),
            rows(&[
                ("addis-ababa", "new-york", ""),
                ("bangkok", "new-york", ""),
                ("new-york", "", ""),
            ]),
        )]
        .into(),
        shortcuts: Vec::new(),
    }
}

async fn adopt(office: &Office, tables: &Tables) {
    let tables = tables.clone();
    let adopted = office.act(|_, tree| tree.adopt(tables)).await;
    adopted.expect("the tree is good");
}

async fn acts_upon(office: &Office, failure: &str) {
    let mut changes = office.act(|_, tree| tree.neighbours().changes()).await;
    while office.act(|_, tree| tree.failure()).await.as_deref() != Some(failure) {
        changes.changed().await.expect("the office runs");
    }
}

#[test]
fn when_the_origin_vanishes_the_standby_takes_its_place_and_no_frame_is_lost_or_doubled() {
    run(async {
        let authority = Authority::new();
        let addresses: [SocketAddr; 4] = own_addresses();
        let tables = star(&addresses);
        let start = |n: usize| authority.start(OFFICES[n], addresses[n], "");
        let (addis, bangkok, geneva, new_york) = (start(0), start(1), start(2), start(3));
        for office in [&addis, &bangkok, &geneva, &new_york] {
            adopt(office, &tables).await;
        }
        addis.is_joined_to(&["geneva", "new-york"]).await;
        bangkok.is_joined_to(&["geneva", "new-york"]).await;
        geneva
            .is_joined_to(&["addis-ababa", "bangkok", "new-york"])
            .await;

        let publisher = connect(bangkok.clients, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let far = connect(addis.clients, Draft::D22).await;
        let mut asked = subscribe(&far, "audio", patient()).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        let alias = expect_subscribe_ok(&mut asked).await.track_alias;
        let mut geneva = Some(geneva);
        let listen = async {
            let mut heard = BTreeSet::new();
            while addis.counters().await.duplicates == 0 {
                assert!(heard.insert(hear(&far, alias).await), "a frame came twice");
            }
            drop(geneva.take());
            let all_act = async {
                for office in [&addis, &bangkok, &new_york] {
                    acts_upon(office, "geneva").await;
                }
            };
            tokio::pin!(all_act);
            let (mut left, mut is_over) = (50, false);
            while left > 0 || !has_no_hole(&heard) {
                tokio::select! {
                    group = hear(&far, alias) => {
                        assert!(heard.insert(group), "a frame came twice");
                        left -= u32::from(is_over && left > 0);
                    }
                    () = &mut all_act, if !is_over => is_over = true,
                }
            }
        };
        tokio::select! {
            () = listen => {}
            () = speak(&publisher, 7) => unreachable!("it speaks for ever"),
        }
        let path = addis.act(|edge, _| edge.root_path()).await;
        assert_eq!(path, ["addis-ababa", "new-york"]);
    });
}

#[test]
fn a_tree_that_is_none_is_refused_aloud() {
    run(async {
        let authority = Authority::new();
        let addresses: [SocketAddr; 4] = own_addresses();
        let office = authority.start("bangkok", addresses[1], "");
        let mut tables = star(&addresses);
        adopt(&office, &tables).await;
        tables.base.extend(rows(&[("geneva", "bangkok", "")]));
        let refused = office.act(|_, tree| tree.adopt(tables)).await;
        assert!(
            matches!(refused, Err(TreeError::Tables(TablesError::Circle(..)))),
            "{refused:?}"
        );
        let links = office.act(|_, tree| tree.neighbours().links()).await;
        assert_eq!(links.len(), 2, "the last tree stays: {links:?}");
    });
}
