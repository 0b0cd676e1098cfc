//! Neighbours that change while the edges run: new parents, parents that change places, offices that come and go.

mod common;
#[path = "common/offices.rs"]
mod offices;
#[path = "common/talk.rs"]
mod talk;

use common::*;
use meridian_edge::config::{Neighbour, NeighbourRole};
use meridian_edge::neighbours::NeighboursError;
use meridian_session::session::{RequestStream, Session};
use meridian_wire::Draft;
use offices::{Authority, Office, own_addresses};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use talk::{above, child, has_no_hole, hear, patient, speak};

struct World {
    _authority: Authority,
    addresses: [SocketAddr; 4],
    geneva: Office,
    _new_york: Office,
    bangkok: Office,
    addis: Office,
}

/// Bangkok and Addis Ababa are joined below Geneva; New York would take them too.
fn world() -> World {
    let authority = Authority::new();
    let addresses: [SocketAddr; 4] = own_addresses();
    let [origin, second, east, south] = addresses;
    let children = child("bangkok") + &child("addis-ababa");
    let below = above("geneva", "parent", origin);
    World {
        geneva: authority.start("geneva", origin, &children),
        _new_york: authority.start("new-york", second, &children),
        bangkok: authority.start("bangkok", east, &below),
        addis: authority.start("addis-ababa", south, &below),
        _authority: authority,
        addresses,
    }
}

/// A talk from Bangkok, and a listener in Addis Ababa.
struct Talk {
    publisher: Session,
    far: Session,
    alias: u64,
    _requests: (RequestStream, RequestStream, RequestStream),
}

async fn talk(world: &World) -> Talk {
    let publisher = connect(world.bangkok.clients, Draft::D22).await;
    let announced = announce(&publisher).await;
    let far = connect(world.addis.clients, Draft::D22).await;
    let mut asked = subscribe(&far, "audio", patient()).await;
    let upstream = accept_subscribe(&publisher, 7).await;
    let alias = expect_subscribe_ok(&mut asked).await.track_alias;
    Talk {
        publisher,
        far,
        alias,
        _requests: (announced, asked, upstream),
    }
}

/// Hears frames while `change` is made, and for so many frames after it. None comes twice, none is missing.
async fn hear_through(talk: &Talk, change: impl Future<Output = ()>) {
    let mut heard = BTreeSet::new();
    for _ in 0..10 {
        assert!(
            heard.insert(hear(&talk.far, talk.alias).await),
            "a frame came twice"
        );
    }
    tokio::pin!(change);
    let mut left = 200;
    let mut changed = false;
    while left > 0 || !has_no_hole(&heard) {
        tokio::select! {
            group = hear(&talk.far, talk.alias) => {
                assert!(heard.insert(group), "a frame came twice");
                left -= u32::from(changed && left > 0);
            }
            () = &mut change, if !changed => changed = true,
        }
    }
}

async fn during(talk: &Talk, listen: impl Future<Output = ()>) {
    tokio::select! {
        () = listen => {}
        () = speak(&talk.publisher, 7) => unreachable!("it speaks for ever"),
    }
}

#[test]
fn a_new_parent_is_joined_and_used_before_the_old_one_is_let_go() {
    run(async {
        let world = world();
        let talk = talk(&world).await;
        let next = above("new-york", "parent", world.addresses[1]);
        let change = async {
            world.bangkok.has_neighbours(&next).await;
            world.addis.has_neighbours(&next).await;
            world.addis.is_joined_to(&["new-york"]).await;
            world.bangkok.is_joined_to(&["new-york"]).await;
            // Geneva has nobody left when the links that were let go have ended.
            world.geneva.has_nobody().await;
        };
        during(&talk, hear_through(&talk, change)).await;
    });
}

#[test]
fn parents_change_places_without_a_frame_lost_or_doubled() {
    run(async {
        let world = world();
        let [origin, second, ..] = world.addresses;
        let both = above("geneva", "parent", origin) + &above("new-york", "backup-parent", second);
        let swapped =
            above("geneva", "backup-parent", origin) + &above("new-york", "parent", second);
        for office in [&world.bangkok, &world.addis] {
            office.has_neighbours(&both).await;
            office.is_joined_to(&["geneva", "new-york"]).await;
        }
        let talk = talk(&world).await;
        let change = async {
            let before = world.addis.up_since("geneva").await;
            world.bangkok.has_neighbours(&swapped).await;
            world.addis.has_neighbours(&swapped).await;
            assert_eq!(
                before,
                world.addis.up_since("geneva").await,
                "the link is kept"
            );
        };
        during(&talk, hear_through(&talk, change)).await;
    });
}

#[test]
fn an_office_that_is_to_be_dialled_elsewhere_is_left_only_when_it_is_there() {
    run(async {
        let world = world();
        let talk = talk(&world).await;
        let [nobody] = own_addresses();
        let moved = above("geneva", "parent", nobody);
        world.addis.has_neighbours(&moved).await;
        during(&talk, hear_through(&talk, async {})).await;
    });
}

#[test]
fn a_child_is_let_in_as_soon_as_it_is_one_and_no_longer() {
    run(async {
        let authority = Authority::new();
        let [origin, east] = own_addresses();
        let geneva = authority.start("geneva", origin, "");
        let bangkok = authority.start("bangkok", east, &above("geneva", "parent", origin));
        geneva.has_neighbours(&child("bangkok")).await;
        bangkok.is_joined_to(&["geneva"]).await;
        geneva.is_joined_to(&["bangkok"]).await;
        geneva.has_neighbours("").await;
        bangkok.is_down("geneva").await;
    });
}

#[test]
fn an_office_may_be_child_and_shortcut_at_once() {
    run(async {
        let authority = Authority::new();
        let [south, north] = own_addresses();
        let both = "[[neighbour]]\noffice = \"delhi\"\nrole = \"shortcut\"\n".to_owned();
        let jakarta = authority.start("jakarta", south, "");
        jakarta.has_neighbours(&(child("delhi") + &both)).await;
        let lines = above("jakarta", "shortcut", south) + &above("jakarta", "parent", south);
        let delhi = authority.start("delhi", north, "");
        delhi.has_neighbours(&lines).await;
        delhi.is_joined_to(&["jakarta", "jakarta"]).await;
        jakarta.is_joined_to(&["delhi", "delhi"]).await;
    });
}

#[test]
fn a_set_that_makes_no_sense_is_refused_and_changes_nothing() {
    run(async {
        let world = world();
        world.addis.is_joined_to(&["geneva"]).await;
        let parent = |office: &str, address: Option<&str>| Neighbour {
            office: office.to_owned(),
            role: NeighbourRole::Parent,
            address: address.map(|address| address.parse().expect("a place")),
        };
        let refused = [
            (
                vec![parent("addis-ababa", Some("x:1"))],
                NeighboursError::Itself,
            ),
            (
                vec![
                    parent("geneva", Some("x:1")),
                    parent("new-york", Some("x:2")),
                ],
                NeighboursError::TwoParents,
            ),
            (
                vec![parent("geneva", Some("x:1")), parent("geneva", Some("x:2"))],
                NeighboursError::Twice("geneva".to_owned()),
            ),
            (
                vec![parent("geneva", None)],
                NeighboursError::NoAddress("geneva".to_owned()),
            ),
        ];
        for (set, why) in refused {
            let applied = world
                .addis
                .act(|_, tree| tree.neighbours().apply(set))
                .await;
            assert_eq!(applied, Err(why));
        }
        world.addis.is_joined_to(&["geneva"]).await;
    });
}
