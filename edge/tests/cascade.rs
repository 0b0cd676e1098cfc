//! Three offices as in the main job: Bangkok publishes, Geneva joins, Addis Ababa watches.

mod common;
#[path = "common/offices.rs"]
mod offices;

use common::*;
use meridian_wire::{Draft, Parameters};
use offices::{Authority, Office, free_ports};

struct Tree {
    geneva: Office,
    bangkok: Office,
    addis: Office,
}

async fn tree(authority: &Authority) -> Tree {
    let [origin, east, south] = free_ports();
    let geneva = authority
        .start(
            "geneva",
            origin,
            "[[neighbour]]\noffice = \"bangkok\"\nrole = \"child\"\n\
             [[neighbour]]\noffice = \"addis-ababa\"\nrole = \"child\"\n",
        )
        .await;
    let below = format!(
        "[[neighbour]]\noffice = \"geneva\"\nrole = \"parent\"\naddress = \"127.0.0.1:{origin}\"\n"
    );
    let bangkok = authority.start("bangkok", east, &below).await;
    let addis = authority.start("addis-ababa", south, &below).await;
    Tree {
        geneva,
        bangkok,
        addis,
    }
}

#[test]
fn a_talk_crosses_from_bangkok_through_geneva_to_addis_ababa() {
    run(async {
        let authority = Authority::new();
        let tree = tree(&authority).await;
        let publisher = connect(tree.bangkok.clients, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let waits = Parameters {
            rendezvous_timeout: Some(20_000),
            ..Parameters::default()
        };
        let far = connect(tree.addis.clients, Draft::D22).await;
        let mut far_asked = subscribe(&far, "audio", waits.clone()).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        let far_ok = expect_subscribe_ok(&mut far_asked).await;
        let middle = connect(tree.geneva.clients, Draft::D20).await;
        let mut middle_asked = subscribe(&middle, "audio", waits).await;
        let middle_ok = expect_subscribe_ok(&mut middle_asked).await;
        for group in 1000..1050 {
            let payload = [group as u8; 160];
            send_stream(&publisher, audio(7, group, &payload)).await;
            let at_geneva = receive_stream(&middle).await;
            assert_eq!(at_geneva, audio(middle_ok.track_alias, group, &payload));
            let at_addis = receive_stream(&far).await;
            assert_eq!(at_addis, audio(far_ok.track_alias, group, &payload));
        }
    });
}
