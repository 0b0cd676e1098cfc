//! Why an edge was chosen or not, for machines and for people.

use super::predict::Prediction;
use crate::ids::Office;
use crate::places::CountryCode;
use std::fmt;

/// Why one edge was or was not chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// Whose edge.
    pub office: Office,
    /// How far it is.
    pub prediction: Prediction,
    /// Why. Its `Display` is a sentence for people.
    pub why: Why,
}

/// A reason for or against an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Chosen: no other can be used.
    Only,
    /// Chosen: the nearest.
    Nearest {
        /// By so much, in µs.
        by_us: u32,
        /// Than the next one.
        than: Office,
    },
    /// Chosen, although another is nearer, as that one is nearly full.
    LessFull {
        /// So much farther, in µs.
        by_us: u32,
        /// Than that one.
        than: Office,
    },
    /// Chosen: the delegate was there before, and no other is clearly nearer.
    Kept,
    /// Second or third: it does not fail together with the ones before it.
    OtherDomain,
    /// Second or third: the next best.
    Next,
    /// Not chosen: farther.
    Farther {
        /// By so much, in µs.
        by_us: u32,
        /// Than the chosen one.
        than: Office,
    },
    /// Not chosen: nearer, but nearly full.
    Fuller {
        /// Per thousand of its places are taken.
        permille: u32,
    },
    /// Not chosen: nearer, but too little to move the delegate.
    TooLittle {
        /// By so much, in µs.
        by_us: u32,
    },
    /// Out: no place is left.
    Full {
        /// Taken or kept.
        taken: u32,
        /// Of so many.
        places: u32,
    },
    /// Out: this replica has given away its share; other replicas may have places.
    ShareUsed,
    /// Out: this replica may not give away places yet, or no more.
    NoShare,
    /// Out: it is being emptied.
    Draining,
    /// Not chosen, or last: it does not report.
    Suspect,
    /// Out: nobody hears it.
    Gone,
    /// Out: the delegate could not reach it.
    Unreachable,
    /// Out: the meeting's media may not go there.
    OtherCountry(CountryCode),
}

/// Why no edge was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none at all that may be used.
    #[error(
        "no edge can be used now: they are gone, being emptied, out of reach, or outside the meeting's countries"
    )]
    NoEdge,
    /// All are full.
    #[error("all places are taken: try again in a minute")]
    Full,
    /// This replica has given away its share.
    #[error("this replica has given away its share of the places: ask another one")]
    ShareUsed,
    /// It has none.
    #[error("this replica has no share of the places yet: ask another one")]
    NoShare,
}

impl Why {
    /// A word for machines; they never change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Nearest { .. } => "nearest",
            Self::LessFull { .. } => "less-full",
            Self::Kept => "kept",
            Self::OtherDomain => "other-domain",
            Self::Next => "next",
            Self::Farther { .. } => "farther",
            Self::Fuller { .. } => "fuller",
            Self::TooLittle { .. } => "too-little",
            Self::Full { .. } => "full",
            Self::ShareUsed => "share-used",
            Self::NoShare => "no-share",
            Self::Draining => "draining",
            Self::Suspect => "suspect",
            Self::Gone => "gone",
            Self::Unreachable => "unreachable",
            Self::OtherCountry(_) => "other-country",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => write!(out, "the only one that can be used"),
            Self::Nearest { by_us, than } => write!(out, "{} nearer than {than}", Ms(*by_us)),
            Self::LessFull { by_us, than } => {
                write!(
                    out,
                    "{} farther than {than}, which is nearly full",
                    Ms(*by_us)
                )
            }
            Self::Kept => write!(
                out,
                "the delegate was there before, and no other is clearly nearer"
            ),
            Self::OtherDomain => write!(
                out,
                "the next best that does not fail together with the ones before it"
            ),
            Self::Next => write!(out, "the next best"),
            Self::Farther { by_us, than } => write!(out, "{} farther than {than}", Ms(*by_us)),
            Self::Fuller { permille } => write!(out, "nearer, but {} % full", permille / 10),
            Self::TooLittle { by_us } => {
                write!(out, "{} nearer, too little to move for", Ms(*by_us))
            }
            Self::Full { taken, places } => write!(out, "full: {taken} of {places} places"),
            Self::ShareUsed => write!(out, "this replica has given away its share of the places"),
            Self::NoShare => write!(out, "this replica has no share of the places now"),
            Self::Draining => write!(out, "draining"),
            Self::Suspect => write!(out, "has not reported lately"),
            Self::Gone => write!(out, "gone"),
            Self::Unreachable => write!(out, "the delegate could not reach it"),
            Self::OtherCountry(country) => {
                write!(out, "outside the meeting's countries: it is in {country}")
            }
        }
    }
}

/// Milliseconds, with a decimal where it matters.
struct Ms(u32);

impl fmt::Display for Ms {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = f64::from(self.0) / 1_000.0;
        if self.0 < 10_000 {
            write!(out, "{ms:.1} ms")
        } else {
            write!(out, "{ms:.0} ms")
        }
    }
}
