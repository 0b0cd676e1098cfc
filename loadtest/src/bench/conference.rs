//! A conference over edges that run elsewhere: all tracks are published at one edge and heard at another, by this one
//! process and so by one clock.

use super::audience::{Audience, Manner};
use super::dial::Dialect;
use super::publisher::{Programme, Publisher};
use super::shape::{Shape, now};
use super::witness::{Account, Witness};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::LocalSet;
use tokio::time::sleep;

/// Who speaks where, and for how long.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The edge to publish at.
    #[arg(long)]
    speak: SocketAddr,
    /// The edge to listen at.
    #[arg(long)]
    listen: SocketAddr,
    /// Tracks of 160 bytes fifty times a second, a stream each.
    #[arg(long, default_value_t = 10)]
    audio: u8,
    /// Tracks of 1.5 Mbit/s, 30 frames a second, a keyframe every two seconds.
    #[arg(long, default_value_t = 2)]
    video: u8,
    /// How long to measure.
    #[arg(long, default_value_t = 25)]
    seconds: u64,
    /// Tell which share of frames came within this many milliseconds; may be repeated.
    #[arg(long)]
    within: Vec<f64>,
}

/// What became of everything that was sent while it was measured.
#[derive(Debug, Serialize)]
struct Outcome {
    kind: &'static str,
    audio: Account,
    video: Option<Account>,
    /// The longest the publisher itself was behind: a busy machine's, and no link's.
    publisher_late_ms: f64,
}

/// Holds the conference and prints its outcome.
pub(super) fn run(args: &Args) -> Result<()> {
    ensure!(args.audio > 0, "a conference needs somebody to speak");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = LocalSet::new().block_on(&runtime, hold(args))?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

async fn hold(args: &Args) -> Result<Outcome> {
    let audio = std::iter::repeat_n(Shape::AudioStreams, usize::from(args.audio));
    let video = std::iter::repeat_n(Shape::Video, usize::from(args.video));
    let programme = Programme {
        dialect: Dialect::Moqt22,
        shapes: audio.chain(video).collect(),
    };
    let publisher = Publisher::start(&programme, args.speak)?;
    let witness = Rc::new(Witness::new(&programme.shapes));
    let audience = Audience::new(&programme, args.listen, Manner::Attentive)?;
    let audience = audience
        .with_witness(witness.clone())
        .with_patience(PATIENCE);
    audience.join(1, Duration::ZERO).await;
    ensure!(audience.failed() == 0, "nothing can be heard there");
    sleep(WARM_UP).await;

    publisher.take_latest_ms();
    let start = now();
    let window = start..start + args.seconds * 1_000_000_000;
    sleep(Duration::from_secs(args.seconds)).await;
    let publisher_late_ms = publisher.take_latest_ms();
    sleep(DRAIN).await;
    let account = |shape: Shape| {
        let tracks = 0..programme.shapes.len() as u8;
        let of_shape = tracks.filter(|track| programme.shapes[usize::from(*track)] == shape);
        let sent = of_shape.map(|track| publisher.sent(track, &window)).sum();
        witness.account(shape, &window, sent, &args.within)
    };
    Ok(Outcome {
        kind: "outcome",
        audio: account(Shape::AudioStreams),
        video: (args.video > 0).then(|| account(Shape::Video)),
        publisher_late_ms,
    })
}

/// An announcement crosses the world in a fraction of this.
const PATIENCE: Duration = Duration::from_secs(8);
/// Long enough for windows to find their size, and for everything to come by every path.
const WARM_UP: Duration = Duration::from_secs(4);
/// What is late by more than this does not come.
const DRAIN: Duration = Duration::from_secs(3);
