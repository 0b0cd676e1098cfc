//! An outcome on its way: cut into pieces that a message has room for, and put together again. Pure.

use crate::outcome::Outcome;
use bytes::Bytes;

/// Pieces that have come.
#[derive(Debug, Default)]
pub(super) struct Pieces(Vec<u8>);

/// Why there is no outcome in them.
#[derive(Debug, thiserror::Error)]
pub(super) enum PiecesError {
    /// More than any rehearsal has to say.
    #[error("its outcome has more than {mib} MiB", mib = MOST >> 20)]
    TooMuch,
    /// Something is missing.
    #[error("its outcome has {0} bytes, of which {1} came")]
    Missing(u64, u64),
    /// Something else was sent.
    #[error("its outcome cannot be read: {0}")]
    Garbled(#[from] serde_json::Error),
    /// It was written by another program.
    #[error("its outcome has form {0}, not {form}", form = Outcome::FORM)]
    OtherForm(u32),
}

/// An outcome in pieces, and how long they are together.
pub(super) fn cut(outcome: &Outcome) -> (impl Iterator<Item = Bytes> + use<>, u64) {
    let whole = serde_json::to_vec(outcome).expect("an outcome can always be written");
    let mut left = Bytes::from(whole);
    let bytes = left.len() as u64;
    let pieces = std::iter::from_fn(move || {
        let size = left.len().min(PIECE);
        (size > 0).then(|| left.split_to(size))
    });
    (pieces, bytes)
}

impl Pieces {
    /// Whether none has come.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more.
    pub(super) fn add(&mut self, piece: &[u8]) -> Result<(), PiecesError> {
        if self.0.len() + piece.len() > MOST {
            return Err(PiecesError::TooMuch);
        }
        self.0.extend_from_slice(piece);
        Ok(())
    }

    /// There are no more, and they should be so long together.
    pub(super) fn close(self, bytes: u64) -> Result<Outcome, PiecesError> {
        let came = self.0.len() as u64;
        if came != bytes {
            return Err(PiecesError::Missing(bytes, came));
        }
        let outcome: Outcome = serde_json::from_slice(&self.0)?;
        match outcome.form {
            Outcome::FORM => Ok(outcome),
            other => Err(PiecesError::OtherForm(other)),
        }
    }
}

/// gRPC takes messages of up to 4 MiB.
const PIECE: usize = 256 << 10;
/// Hours of seconds in every region.
const MOST: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Tick;
    use std::time::Duration;

    fn large() -> Outcome {
        let tick = |second: u64| {
            let mut tick = Tick::default();
            for n in 0..200 {
                let lag = Duration::from_micros(second + n * 977);
                tick.lag.entry("AFR".to_owned()).or_default().record(lag);
            }
            tick
        };
        Outcome {
            form: Outcome::FORM,
            ticks: (0..900).map(tick).collect(),
            ..Outcome::default()
        }
    }

    #[test]
    fn what_was_cut_is_put_together_again() {
        let outcome = large();
        let mut pieces = Pieces::default();
        let mut count = 0;
        let (cut, bytes) = cut(&outcome);
        for piece in cut {
            assert!(piece.len() <= PIECE);
            pieces.add(&piece).expect("there is room");
            count += 1;
        }
        assert!(count > 3, "{count}");
        assert_eq!(pieces.close(bytes).expect("whole"), outcome);
    }

    #[test]
    fn a_piece_that_is_missing_is_noticed() {
        let outcome = large();
        let (cut, bytes) = cut(&outcome);
        let all: Vec<_> = cut.collect();
        for missing in 0..all.len() {
            let mut pieces = Pieces::default();
            let left = all.iter().enumerate().filter(|(n, _)| *n != missing);
            left.for_each(|(_, piece)| pieces.add(piece).expect("there is room"));
            let closed = pieces.close(bytes);
            assert!(matches!(closed, Err(PiecesError::Missing(..))));
        }
        assert!(Pieces::default().close(0).is_err());
    }

    #[test]
    fn more_than_there_is_room_for_is_refused() {
        let mut pieces = Pieces::default();
        pieces.add(b"[").expect("there is room");
        let error = pieces.add(&vec![b' '; MOST]).expect_err("there is none");
        assert!(error.to_string().contains("256 MiB"), "{error}");
    }

    #[test]
    fn another_form_is_refused() {
        let outcome = Outcome {
            form: Outcome::FORM + 1,
            ..Outcome::default()
        };
        let mut pieces = Pieces::default();
        let (cut, bytes) = cut(&outcome);
        cut.for_each(|piece| pieces.add(&piece).expect("there is room"));
        let error = pieces.close(bytes).expect_err("not this form").to_string();
        assert!(error.contains("form 2"), "{error}");
    }
}
