//! What the control plane's thread asks of the first worker's: little, and never waited for there.

use crate::control::figures::{Figures, LinkFigures};
use crate::edge::Reporter;
use crate::neighbours::place::Place;
use crate::neighbours::tables::Tables;
use crate::neighbours::tree::{Tree, TreeError};
use crate::probing::Probing;
use meridian_proto::v1::Rtt;
use std::collections::BTreeMap;
use std::rc::Rc;
use tokio::sync::{mpsc, oneshot};

/// Asked of the first worker's thread.
pub(crate) enum Ask {
    /// Its figures, and those of the others; with talks, which cost more.
    Figures(bool, oneshot::Sender<Figures>),
    /// To take its place in this tree.
    Adopt(Tables, oneshot::Sender<Result<(), TreeError>>),
    /// To measure the way to these offices, and to no others.
    Probe(BTreeMap<String, Place>),
}

/// Answers for as long as it is asked and the workers run.
pub(crate) async fn attend(
    reporter: Reporter,
    tree: Rc<Tree>,
    probing: Probing,
    mut asks: mpsc::Receiver<Ask>,
) {
    while let Some(ask) = asks.recv().await {
        match ask {
            Ask::Figures(with_talks, answer) => {
                let Some(shares) = reporter.shares(with_talks).await else {
                    return;
                };
                // Who asked may have given up, here and below.
                let _ = answer.send(Figures {
                    shares,
                    links: links(&reporter),
                    wished: tree.wished(),
                    rtts: rtts(&probing),
                    clients: reporter.clients(),
                    with_talks,
                });
            }
            Ask::Adopt(tables, answer) => {
                let _ = answer.send(tree.adopt(tables));
            }
            Ask::Probe(places) => probing.set_targets(places),
        }
    }
}

fn links(reporter: &Reporter) -> Vec<LinkFigures> {
    reporter.first().look(|state| state.stats.links())
}

fn rtts(probing: &Probing) -> Vec<Rtt> {
    let measured = probing.rtts().into_iter();
    let rtt = measured.map(|measured| Rtt {
        office: measured.office,
        rtt_us: measured.latest_us,
    });
    rtt.collect()
}
