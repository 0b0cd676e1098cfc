//! Three offices as in the main job: Bangkok publishes, Geneva joins, Addis Ababa watches.

mod common;
#[path = "common/offices.rs"]
mod offices;
#[path = "common/talk.rs"]
mod talk;

use common::*;
use meridian_wire::Draft;
use offices::{Authority, Office, own_addresses};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use talk::{above, has_no_hole, hear, patient, speak};

struct Tree {
    authority: Authority,
    origin: SocketAddr,
    geneva: Option<Office>,
    bangkok: Office,
    addis: Office,
    _standby: Option<Office>,
}

const CHILDREN: &str = "[[neighbour]]\noffice = \"bangkok\"\nrole = \"child\"\n\
                        [[neighbour]]\noffice = \"addis-ababa\"\nrole = \"child\"\n";

fn tree(with_standby: bool) -> Tree {
    let authority = Authority::new();
    let [origin, second, east, south] = own_addresses();
    let geneva = authority.start("geneva", origin, CHILDREN);
    let standby = with_standby.then(|| authority.start("new-york", second, CHILDREN));
    let mut parents = above("geneva", "parent", origin);
    if with_standby {
        parents += &above("new-york", "backup-parent", second);
    }
    let bangkok = authority.start("bangkok", east, &parents);
    let addis = authority.start("addis-ababa", south, &parents);
    Tree {
        geneva: Some(geneva),
        authority,
        origin,
        bangkok,
        addis,
        _standby: standby,
    }
}

#[test]
fn a_talk_crosses_from_bangkok_through_geneva_to_addis_ababa() {
    run(async {
        let tree = tree(false);
        let publisher = connect(tree.bangkok.clients, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let far = connect(tree.addis.clients, Draft::D22).await;
        let mut far_asked = subscribe(&far, "audio", patient()).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        let far_ok = expect_subscribe_ok(&mut far_asked).await;
        let geneva = tree.geneva.as_ref().expect("it runs").clients;
        let middle = connect(geneva, Draft::D20).await;
        let mut middle_asked = subscribe(&middle, "audio", patient()).await;
        let middle_ok = expect_subscribe_ok(&mut middle_asked).await;
        for group in 1000..1050 {
            let payload = [group as u8; 160];
            send_stream(&publisher, audio(7, group, &payload)).await;
            assert_eq!(hear(&middle, middle_ok.track_alias).await, group);
            assert_eq!(hear(&far, far_ok.track_alias).await, group);
        }
    });
}

#[test]
fn with_a_standby_origin_no_frame_is_lost_or_doubled_when_geneva_vanishes() {
    run(async {
        let mut tree = tree(true);
        let publisher = connect(tree.bangkok.clients, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let far = connect(tree.addis.clients, Draft::D22).await;
        let mut asked = subscribe(&far, "audio", patient()).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        let alias = expect_subscribe_ok(&mut asked).await.track_alias;
        let listen = async {
            let mut heard = BTreeSet::new();
            // The second copies begin when the standby has asked Bangkok in its turn.
            while tree.addis.counters().await.duplicates == 0 {
                assert!(heard.insert(hear(&far, alias).await), "a frame came twice");
            }
            drop(tree.geneva.take());
            // A frame on its way may be overtaken by the next, and is not lost for that.
            for n in 0..150 {
                if n >= 100 && has_no_hole(&heard) {
                    break;
                }
                assert!(heard.insert(hear(&far, alias).await), "a frame came twice");
            }
            heard
        };
        let heard = tokio::select! {
            heard = listen => heard,
            () = speak(&publisher, 7) => unreachable!("it speaks for ever"),
        };
        assert!(has_no_hole(&heard), "a frame was lost");
    });
}

#[test]
fn without_a_standby_listeners_go_on_by_themselves_when_geneva_is_back() {
    run(async {
        let mut tree = tree(false);
        let publisher = connect(tree.bangkok.clients, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let far = connect(tree.addis.clients, Draft::D22).await;
        let mut asked = subscribe(&far, "audio", patient()).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        let alias = expect_subscribe_ok(&mut asked).await.track_alias;
        let listen = async {
            let mut heard = BTreeSet::new();
            for n in 0..100 {
                if n == 50 {
                    drop(tree.geneva.take());
                    let again = tree.authority.start("geneva", tree.origin, CHILDREN);
                    tree.geneva = Some(again);
                }
                assert!(heard.insert(hear(&far, alias).await), "a frame came twice");
            }
        };
        // Geneva asks Bangkok anew, which has kept its subscription at the publisher.
        tokio::select! {
            () = listen => {}
            () = speak(&publisher, 7) => unreachable!("it speaks for ever"),
        }
    });
}
