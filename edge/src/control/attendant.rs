//! What the control plane's thread asks of the first worker's: little, and never waited for there.

use crate::control::figures::{Figures, LinkFigures};
use crate::edge::Reporter;
use crate::neighbours::tables::Tables;
use crate::neighbours::tree::{Tree, TreeError};
use std::rc::Rc;
use tokio::sync::{mpsc, oneshot};

/// Asked of the first worker's thread.
pub(crate) enum Ask {
    /// Its figures, and those of the others; with talks, which cost more.
    Figures(bool, oneshot::Sender<Figures>),
    /// To take its place in this tree.
    Adopt(Tables, oneshot::Sender<Result<(), TreeError>>),
}

/// Answers for as long as it is asked and the workers run.
pub(crate) async fn attend(reporter: Reporter, tree: Rc<Tree>, mut asks: mpsc::Receiver<Ask>) {
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
                    rtts: Vec::new(),
                    clients: reporter.clients(),
                    with_talks,
                });
            }
            Ask::Adopt(tables, answer) => {
                let _ = answer.send(tree.adopt(tables));
            }
        }
    }
}

fn links(reporter: &Reporter) -> Vec<LinkFigures> {
    reporter.first().look(|state| state.stats.links())
}
