//! Links that this edge dials: again and again, until they are let go.

use crate::neighbours::credentials::Credentials;
use crate::neighbours::link::{self, Kind, Wish};
use crate::neighbours::place::Place;
use crate::neighbours::{Inner, Number};
use anyhow::Context;
use rand::RngExt;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The first pause before dialling again, and the longest; each is shortened at random by up to half.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A link that held this long was a good one: the pauses start over.
const GOOD_LINK: Duration = Duration::from_secs(10);
/// How long dialling may take.
pub(super) const DIAL: Duration = Duration::from_secs(3);

/// Whom to dial, and where.
pub(super) struct Target {
    pub(super) office: String,
    pub(super) kind: Kind,
    pub(super) number: Number,
    pub(super) place: Place,
}

/// Keeps a link until it is let go.
pub(super) async fn keep(
    inner: Rc<Inner>,
    credentials: Rc<Credentials>,
    target: Target,
    mut wish: watch::Receiver<Wish>,
) {
    let mut pause = FIRST_PAUSE;
    let office = &target.office;
    loop {
        let dialling = credentials.dial(office, &target.place, target.kind);
        let dialled = tokio::select! {
            dialled = tokio::time::timeout(DIAL, dialling) => dialled,
            () = link::let_go(&mut wish) => return,
        };
        match dialled.context("no answer").and_then(|dialled| dialled) {
            Ok(session) => {
                let since = Instant::now();
                link::serve(&inner, session, (office, target.number), wish.clone()).await;
                if since.elapsed() >= GOOD_LINK {
                    pause = FIRST_PAUSE;
                }
            }
            Err(error) => {
                tracing::warn!(office, place = %target.place, "cannot be reached: {error:#}")
            }
        }
        let shortened = rand::rng().random_range(0.5..=1.0);
        tokio::select! {
            () = tokio::time::sleep(pause.mul_f64(shortened)) => {}
            () = link::let_go(&mut wish) => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
